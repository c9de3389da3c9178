"""Label files of other tools: one short file a format, see `weakseg.labels.formats.table`."""
