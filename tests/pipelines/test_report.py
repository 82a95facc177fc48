"""Reports: recomputed from stored predictions, of one protocol, in one page that needs nothing else."""

import io
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pandas as pd
import pytest
from rich.console import Console

from tests.analysis.written_runs import write_trained_run
from tests.browser import evaluate_on_page, photograph_page, print_page
from tests.training.small_dataset import finish_run, make_small_dataset, rewrite_manifest
from tfm.analysis.comparison import rank_models
from tfm.analysis.describe_comparison import describe_outcome
from tfm.analysis.external_test import list_external_tests, store_predictions
from tfm.analysis.format_intervals import format_interval, format_number
from tfm.analysis.predictions import read_predictions
from tfm.analysis.report.flatten_settings import read_flat_settings
from tfm.analysis.run_costs import read_run_costs
from tfm.analysis.trained_run import DatasetFacts, open_trained_model
from tfm.core.escape_text import escape_latex
from tfm.core.events import Note
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.lookup import find_run
from tfm.core.runs.workspace import Workspace
from tfm.metrics.classification import compute_auc
from tfm.ui.screens.job_end import print_end

NO_BREAK = "\N{NO-BREAK SPACE}"
ATTACK = "<script>alert(1)</script>"


class Page(HTMLParser):
    """The links, anchors, pictures and tables of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def select(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("report") / "workspace")
    make_small_dataset(workspace)
    rewrite_manifest(workspace, lambda manifest: manifest.assign(density="3", kind=ATTACK))
    write_audit(workspace.dataset_folder("pocket"))
    written = [write_trained_run(workspace), write_trained_run(workspace, "MammoCNN", skill=1.0, noise_seed=2)]
    write_external_test(written[0])
    return written


def write_external_test(run):
    table = read_predictions(run.predictions_file("test"))
    clinic = DatasetFacts("clinic", f"biopsies of {ATTACK} \\input{{y}}", "1" * 64, "2" * 64, synthetic=False)
    others = table.assign(patient_id="clinic:" + table["patient_id"], prob=1 - table["prob"])
    store_predictions(run.workspace.external_folder / run.id / "clinic-1.csv", others, run, clinic)


def write_audit(folder):
    """One image more is named than the dataset has, for a reason that neither HTML nor LaTeX may read as commands."""
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    lesions = manifest[["patient_id", "side", "view", "kind"]].assign(lesion_id="1")
    lost = pd.DataFrame([["P_09999", "LEFT", "CC", "mass", "1"]], columns=lesions.columns)
    pd.concat([lesions, lost]).to_csv(folder / "lesions.csv", index=False)
    audit = json.loads((folder / "audit.json").read_text())
    audit["findings"] = [{"kind": "left-out", "subject": "P_09999_LEFT_CC", "words": f"50 % of {ATTACK} \\input{{x}}"}]
    audit["settings"] = {"split": "official", "val_share": 0.2, "seed": 3, "without_callback": "benign"}
    (folder / "audit.json").write_text(json.dumps(audit))


def write_report(runs, **given):
    return find_or_create_job(runs[0].workspace, "report", {"runs": [run.id for run in runs], **given})


@pytest.fixture(scope="module")
def file(runs):
    run = finish_run(write_report(runs, thesis=True))
    return run.workspace.root / run.read_status().outputs[0]["path"]


@pytest.fixture(scope="module")
def pack(file):
    return file.parent / "thesis"


@pytest.fixture(scope="module")
def page(file):
    return Page(file.read_text(encoding="utf-8"))


def test_every_auc_is_computed_from_the_stored_predictions(runs, page):
    for run in runs:
        predictions = pd.read_csv(run.predictions_file("test"))
        assert f"{format_number(compute_auc(predictions['label'], predictions['prob']))} (" in page.text


def test_the_calls_of_each_run_are_those_at_the_threshold_of_validation(runs, page):
    for run in runs:
        predictions, threshold = pd.read_csv(run.predictions_file("test")), run.read_status().result["threshold"]
        is_malignant, is_called = predictions["label"] == 1, predictions["prob"] >= threshold
        hits, misses = int((is_malignant & is_called).sum()), int((is_malignant & ~is_called).sum())
        alarms, passes = int((~is_malignant & is_called).sum()), int((~is_malignant & ~is_called).sum())
        said = f"{hits} true positive, {misses} false negative, {alarms} false positive, {passes} true negative"
        assert any(said in picture["alt"] for picture in page.select("img"))
        assert f"{format_number(hits / (hits + misses))} (" in page.text
        assert f"{format_number(passes / (passes + alarms))} (" in page.text


def test_an_external_test_is_computed_from_its_predictions_and_names_who_did_not_take_it(runs, page):
    auc = open_trained_model(runs[0]).predictions.pipe(lambda one: compute_auc(one["label"], one["prob"]))
    text = page.text.replace(NO_BREAK, " ")
    assert f"On clinic, ResNet18_CFT has an AUC of {1 - auc:.3f}" in text
    assert f"a drop of {auc - (1 - auc):+.3f}".replace("+", "") in text.replace("+", "")
    assert "Not tested on clinic: MammoCNN." in text


def test_predictions_of_other_weights_of_a_run_are_no_external_test(runs, tmp_path):
    workspace = Workspace(shutil.copytree(runs[0].workspace.root, tmp_path / "workspace"))
    run = find_run(workspace, runs[0].id)
    assert len(list_external_tests([run])) == 1
    status = json.loads((run.folder / "status.json").read_text())
    status["outputs"][0]["sha256"] = "0" * 64
    (run.folder / "status.json").write_text(json.dumps(status))
    assert list_external_tests([find_run(workspace, run.id)]) == []


def test_a_report_says_that_killed_trainings_were_not_tried_on_its_machine(page):
    assert "Not proven on this machine: there is no certificate." in page.text


def test_every_number_of_the_comparison_leads_to_the_section_of_its_run(runs, page):
    links = [link["href"] for link in page.select("a")]
    anchors = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {link.removeprefix("#") for link in links} <= anchors
    for run in runs:
        assert links.count(f"#run-{run.id}") >= 5


def test_the_name_of_a_model_leads_to_its_own_run(runs, file):
    text = file.read_text(encoding="utf-8")
    for run, name in zip(runs, ("ResNet18_CFT", "MammoCNN"), strict=True):
        assert set(re.findall(rf'<a href="#(run-[^"]*)">{name}</a>', text)) == {f"run-{run.id}"}


def test_a_model_without_training_steps_has_no_settings_of_them(runs):
    given = {"dataset": "pocket", "cache": "pocket"}
    frozen = find_or_create_job(runs[0].workspace, "train", given, ["EfficientNetLite0_OPW"])
    frozen.update(result={"epochs": 0})
    settings = read_flat_settings(frozen)
    assert settings["trained"] == "none"
    assert not settings.keys() & {"epochs", "learning_rate", "optimizer", "augment", "rotation", "dropout"}
    assert read_run_costs(frozen).epochs is None
    assert {"epochs", "learning_rate", "optimizer", "augment"} <= read_flat_settings(runs[0]).keys()


def test_the_page_needs_no_other_file(page):
    targets = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert [target for target in targets if not target.startswith(("data:", "#"))] == []


def test_pictures_tables_and_headings_are_accessible(page):
    assert all(picture["alt"] for picture in page.select("img"))
    assert all(cell["scope"] in ("row", "col") for cell in page.select("th"))
    assert len(page.select("caption")) == len(page.select("table")) > 3
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    anchors = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(anchors)) == len(anchors)


def test_words_of_a_dataset_are_escaped(page):
    assert page.select("script") == []
    assert ATTACK in page.text


def test_the_commands_that_repeat_it_are_named(page):
    assert "python wizard.py train MammoCNN --dataset pocket" in page.text


def test_mixed_protocols_are_refused_with_the_runs_to_leave_out(runs):
    workspace = runs[0].workspace
    make_small_dataset(workspace, "other", synthetic=False)
    rewrite_manifest(workspace, lambda manifest: manifest[manifest["patient_id"] != "P_test03"], "other")
    odd = write_trained_run(workspace, dataset="other", cache="other")
    refused = write_report([*runs, odd])
    assert worker.execute_run(refused, stopping=refused) == "failed"
    status = refused.read_status()
    assert "2 protocols" in status.message
    assert odd.id in status.message
    assert status.hint.startswith(f"leave out {odd.id}: ")


def test_a_deleted_dataset_leaves_out_what_needs_it_and_says_so(runs, tmp_path):
    root = tmp_path / "workspace"
    shutil.copytree(runs[0].workspace.root, root)
    shutil.rmtree(root / "dataset" / "pocket")
    copied = find_or_create_job(Workspace(root), "report", {"runs": [runs[0].id], "unit": "breast"})
    finish_run(copied)
    assert any("the dataset pocket was deleted" in note.text for note in copied.read_events() if isinstance(note, Note))
    text = Page((copied.folder / "report" / "report.html").read_text(encoding="utf-8")).text
    assert "Left out: patients, audit and pictures of the preprocessing: the dataset pocket was deleted" in text
    assert "per breast" in text


def test_each_number_of_a_model_is_a_macro_that_agrees_with_its_predictions(runs, pack):
    numbers = dict(re.findall(r"newcommand\{\\(\w+)\}\{(.*)\}", (pack / "numbers.tex").read_text()))
    for run, letters in zip(runs, ("ResNetCFT", "MammoCNN"), strict=True):
        predictions = pd.read_csv(run.predictions_file("test"))
        assert numbers[f"Auc{letters}"] == format_number(compute_auc(predictions["label"], predictions["prob"]))
    assert numbers["NamedImages"] == str(int(numbers["DatasetImages"]) + 1)


def test_the_results_say_what_compare_says_with_the_interval_of_the_best(runs, pack):
    ranking = rank_models([open_trained_model(run, "image") for run in runs])[0]
    numbers = dict(re.findall(r"newcommand\{\\(\w+)\}\{(.*)\}", (pack / "numbers.tex").read_text()))
    assert numbers["Outcome"] == escape_latex(describe_outcome(ranking))
    assert numbers["BestAucInterval"] == escape_latex(format_interval(ranking.entries[0][1].auc))
    results = (pack / "main.tex").read_text().split("\\section{Results}")[1]
    assert "\\BestAucInterval{}" in results
    assert "\\Outcome{}" in results


def test_the_paths_of_page_and_pack_are_the_last_lines_on_screen(runs, file, pack):
    run = find_run(runs[0].workspace, file.parents[1].name)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    print_end(run, console)
    *tables, _, page_line, _, pack_line = console.file.getvalue().splitlines()
    assert any("ResNet18_CFT" in line for line in tables)
    assert page_line == str(file)
    assert pack_line == f"latexmk -cd -pdf {pack / 'main.tex'}"


def test_the_methods_say_what_the_settings_say_in_both_languages(pack):
    english, spanish = ((pack / f"methods-{language}.tex").read_text() for language in ("en", "es"))
    assert "20\\,\\% were drawn at random for validation" in english
    assert "el\n20\\,\\% se eligió al azar para la validación" in spanish
    assert "2 epochs with AdamW\n(learning rate 0.002" in english
    assert "2 épocas con AdamW\n(tasa de aprendizaje 0.002" in spanish
    assert "None" not in english + spanish


def test_words_of_a_dataset_are_no_commands_of_latex(pack):
    text = "".join(file.read_text() for file in pack.rglob("*.tex"))
    assert "\\input{x}" not in text
    assert "50 \\% of \\textless{}script\\textgreater{}" in text


def test_the_checklists_are_complete_and_mark_what_only_the_author_knows(pack):
    claim, tripod = ((pack / f"checklist-{name}.tex").read_text() for name in ("claim", "tripod"))
    assert [int(number) for number in re.findall(r"^(\d+) & ", claim, re.MULTILINE)] == list(range(1, 45))
    for text, unknown in ((claim, "44"), (claim, "3"), (tripod, "17"), (tripod, "18b")):
        assert re.search(rf"^{unknown} & .* & \\toanswer\{{", text, re.MULTILINE)
    assert not re.search(r"& *\\\\\[", claim + tripod), "an item has neither an answer nor a mark"


def test_every_macro_citation_and_file_of_the_pack_exists(pack):
    text = "".join(file.read_text() for file in pack.glob("*.tex"))
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", text) for key in keys.split(",")}
    assert cited <= set(re.findall(r"@\w+\{(\w+),", (pack / "references.bib").read_text()))
    defined = set(re.findall(r"newcommand\{\\(\w+)\}", text))
    assert {name for name in re.findall(r"\\([A-Z]\w+)", text) if name != "LaTeX"} <= defined
    for name in re.findall(r"\\fittable\{([^#}]*)\}", text):
        assert (pack / f"{name}.tex").is_file()
    for name in re.findall(r"\\fitfigure\{([^#}]*)\}", text):
        assert (pack / name).is_file()


def test_the_tables_of_the_document_are_narrow_and_upright(pack):
    assert "rotatebox" not in (pack / "main.tex").read_text()
    shown = {name: (pack / "tables" / f"main-{name}.tex").read_text() for name in ("comparison", "comparison-pairs")}
    assert "rank & model & AUC & difference to the best & Holm p" in shown["comparison"]
    assert "better & worse & difference in AUC & Holm p" in shown["comparison-pairs"]
    rates = (pack / "tables" / "main-comparison-rates.tex").read_text()
    assert "model & sensitivity & specificity & runs & parameters & minutes" in rates
    assert "372,497" in rates


@pytest.mark.long
def test_the_pack_compiles_without_an_undefined_reference(pack, tmp_path):
    if shutil.which("latexmk") is None:
        pytest.skip("LaTeX is not installed: apt-get install latexmk texlive-latex-extra texlive-lang-spanish lmodern")
    shutil.copytree(pack, tmp_path / "pack")
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    ended = subprocess.run(command, cwd=tmp_path / "pack", capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout[-2000:]
    log = (tmp_path / "pack" / "main.log").read_text(encoding="utf-8", errors="replace")
    assert "undefined" not in log
    assert not re.search(r"Overfull \\hbox \((\d{2,})", log)


@pytest.mark.long
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (380, False), (1280, True)])
def test_a_browser_shows_the_page_without_a_complaint_or_a_request(file, tmp_path, width, dark):
    visit = photograph_page(file, tmp_path / "page.png", width, dark=dark)
    assert (visit.console, visit.requests) == ([], [])


def test_an_interval_breaks_before_its_parenthesis_only(runs, page):
    interval = format_interval(rank_models([open_trained_model(run, "image") for run in runs])[0].entries[0][1].auc)
    value, _, ends = interval.partition(" ")
    assert f"{value} {ends.replace(' ', NO_BREAK)}" in page.text


@pytest.mark.long
def test_the_page_prints_and_never_scrolls_sideways(file, tmp_path):
    visit = print_page(file, tmp_path / "page.pdf")
    assert (visit.console, visit.requests) == ([], [])
    assert evaluate_on_page(file, "document.documentElement.scrollWidth <= innerWidth", tmp_path, 500) is True
    table = """document.querySelector('[aria-label^="The models by AUC"]')"""
    is_whole = f"{table}.scrollWidth <= {table}.clientWidth"
    assert evaluate_on_page(file, is_whole, tmp_path, 1200) is True, "the comparison is cut"


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True])
def test_the_contrast_of_all_text_is_at_least_that_of_wcag(file, tmp_path, dark):
    script = """[...document.querySelectorAll("p,a,td,th,caption,figcaption,h1,h2,h3,li,pre")].map(one => {
      let behind = one;
      while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
      const light = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
      const pair = [light(getComputedStyle(one).color), light(getComputedStyle(behind).backgroundColor)];
      return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)}).reduce((one, two) => Math.min(one, two), 21)"""
    assert evaluate_on_page(file, script, tmp_path, dark=dark) >= 4.5
