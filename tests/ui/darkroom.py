"""The presets of the toy stages `develop` and `proof`, in a configs folder of their own."""

from pathlib import Path

import yaml

PRESETS = {
    "plain": {"developer": {"seconds": 90}, "stop": True, "toner": False, "fixer": True},
    "warm": {"developer": {"seconds": 30}, "toner": True, "stop": False, "fixer": {"strength": "strong"}},
}


def write_presets(configs: Path) -> Path:
    folder = configs / "darkroom"
    folder.mkdir(parents=True)
    for name, baths in PRESETS.items():
        preset = {"title": name, "about": name, "stage": "develop", "settings": {"baths": baths}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(preset, sort_keys=False))
    return configs
