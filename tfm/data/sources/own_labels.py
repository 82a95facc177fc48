"""The spellings of labels, splits, sides and kinds that tables and folders of one's own may use."""

from __future__ import annotations

from tfm.data.sources.table_images import SIDES

LABELS = dict.fromkeys(("0", "0.0", "b", "benign", "negative", "false", "no"), "benign") | dict.fromkeys(
    ("1", "1.0", "m", "malignant", "cancer", "positive", "true", "yes"), "malignant"
)
SPLITS = (
    dict.fromkeys(("train", "training"), "train")
    | dict.fromkeys(("val", "valid", "validation"), "val")
    | dict.fromkeys(("test", "testing"), "test")
)
SIDES_OR_NONE = SIDES | {"": ""}
KINDS = {"": "", "mass": "mass", "calc": "calc", "calcification": "calc", "mass+calc": "mass+calc"}
COLUMNS = {
    "file": ("file", "filename", "file name", "image", "image file", "image path", "path"),
    "label": ("label", "class", "diagnosis", "pathology", "target", "cancer"),
}
PATIENT = {"patient": ("patient_id", "patient", "patientid", "case", "case id", "subject", "subject id")}
OPTIONAL = {
    "side": ("side", "laterality", "breast"),
    "view": ("view", "view position"),
    "split": ("split", "set", "subset"),
    "mask": ("mask", "mask file", "mask path"),
    "kind": ("kind", "abnormality", "lesion"),
}
