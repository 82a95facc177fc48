"""Build and encode DICOM files like those of CBIS-DDSM, marked as synthetic. Equal inputs give equal bytes."""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from tfm.core.randomness import seed_at
from tfm.data.download.headers import PHANTOM_MAKER

STUDY_DATE = "20200101"  # fixed, so that the bytes do not depend on the day
_WRITER_UID = UID("2.25.289711483520157826915274863395210477361")
_WRITER_NAME = "TFM-PHANTOM-1"


@dataclass(frozen=True)
class Header:
    subject: str  # PatientID
    study: str  # UID
    series: str  # UID
    instance: str  # UID
    description: str
    side: str  # "" if the header has neither side nor view
    view: str


def make_uid(*address: str | int) -> str:
    """Make a UID under 2.25, the root for UUIDs, which needs no registration."""
    number = seed_at(*address, "high") << 64 | seed_at(*address, "low")
    return f"2.25.{uuid.UUID(int=number, version=4).int}"


def build_dataset(header: Header, pixels: np.ndarray) -> FileDataset:  # pixels: (H, W) uint8 or uint16
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = UID(header.instance)
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = _WRITER_UID, _WRITER_NAME
    dataset = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, header.instance
    dataset.StudyDate = dataset.ContentDate = STUDY_DATE
    dataset.StudyTime = dataset.ContentTime = "120000"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.ConversionType = "MG", "WSD"
    dataset.SeriesDescription = header.description
    dataset.Manufacturer = dataset.SecondaryCaptureDeviceManufacturer = PHANTOM_MAKER
    dataset.SecondaryCaptureDeviceManufacturerModelName = _WRITER_NAME
    dataset.PatientName = dataset.PatientID = header.subject
    dataset.PatientBirthDate = dataset.PatientSex = ""
    # TCIA's private block with our name, so that readers meet an unknown VR.
    block = dataset.private_block(0x0013, "CTP", create=True)
    block.add_new(0x10, "UN", PHANTOM_MAKER.encode() + b" ")
    block.add_new(0x13, "UN", b"00000000")
    dataset.BodyPartExamined = "BREAST"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = header.study, header.series
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "DDSM", 1, 1
    if header.side:
        dataset.PatientOrientation, dataset.Laterality = header.view, header.side[0]
    dataset.ImageComments = "Synthetic image drawn by a program. Not a patient, not for diagnosis."
    bits = pixels.dtype.itemsize * 8
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue = int(pixels.min()), int(pixels.max())
    dataset.PixelData = pixels.astype(f"<u{pixels.dtype.itemsize}").tobytes() + b"\0" * (pixels.nbytes % 2)
    return dataset


def encode(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
