"""A synthetic TCIA download: drawn mammograms in CBIS-DDSM's own form, honest about being drawn.
What reads a download, real or drawn, lives in `tfm.data`, not here."""
