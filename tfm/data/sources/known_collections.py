"""The collections that `organize` knows, and how it finds out which one a download is of."""

from __future__ import annotations

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.data.sources.cbis_ddsm_collection import CbisDdsm
from tfm.data.sources.cmmd import Cmmd
from tfm.data.sources.collection import Collection, Listing
from tfm.data.sources.inbreast import INbreast
from tfm.data.sources.mias import Mias
from tfm.data.sources.own import Own
from tfm.data.sources.vindr_mammo import VinDrMammo

AUTO = "auto"
_ALL: tuple[Collection, ...] = (CbisDdsm(), Cmmd(), INbreast(), VinDrMammo(), Mias(), Own())
COLLECTIONS: dict[str, Collection] = {one.facts.name: one for one in _ALL}


def find_collection(name: str, listing: Listing) -> Collection:
    """Return the named collection, or the one that the download is of."""
    if name != AUTO:
        return COLLECTIONS[name]
    found = [one for one in COLLECTIONS.values() if one.recognises(listing)]
    if len(found) > 1:  # the tables of other collections list images too
        found = [one for one in found if one.facts.name != "own"]
    if len(found) == 1:
        return found[0]
    where = ", ".join(map(str, listing.given))
    if not listing.found and all(path.is_dir() for path in listing.given):
        raise SettingsError(
            f"{where} is empty: it has no mammograms", hint="choose the folder of a download", fields=("download",)
        )
    if found:
        raise SettingsError(
            f"{where} seems to be of several collections: {' and '.join(one.facts.title for one in found)}",
            hint=f"give the folder of one of them, or name it: {hints.setting('collection', found[0].facts.name)}",
            fields=("download", "collection"),
        )
    known = "; ".join(f"{one.facts.title} by {one.table}" for one in COLLECTIONS.values())
    raise SettingsError(
        f"{where} is of no collection that is known",
        hint=f"choose another folder, or say which collection it is: {hints.setting('collection', 'NAME')}. "
        f"They are recognised: {known}",
        fields=("download", "collection"),
    )
