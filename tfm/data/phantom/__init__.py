"""Write a synthetic TCIA download: drawn mammograms in the form of CBIS-DDSM, marked as synthetic.
Downloads are read in tfm.data.download."""
