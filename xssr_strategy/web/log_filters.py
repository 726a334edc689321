"""Nothing of a patient in the log: MONAI Label's lines that print a whole request or answer are left out.

They hold what the archive says of a series (PatientID, times), what a viewer sends, and names of files on the
annotator's machine. What an engineer needs of them, who asked and for which image, the app writes itself. The ids of
images stay: names of files in the studies folder, UIDs of an archive. Tokens come in a header and are never logged.
"""

from __future__ import annotations

import logging

# Logger -> beginnings of its lines.
_LEFT_OUT = {
    "monailabel.endpoints.activelearning": ("Active Learning Request: ", "Next sample: "),
    "monailabel.endpoints.infer": ("Infer Request: ",),
    "monailabel.endpoints.wsi_infer": ("WSI Infer Request: ",),
    "monailabel.tasks.infer.basic_infer": ("Infer Request (final): ",),
    "monailabel.endpoints.datastore": ("Image: ", "Save Label params: "),
    "monailabel.datastore.local": ("Saving Label for Image: ", "Label Info: "),
    "monailabel.endpoints.session": ("Request Files: ", *map(str, range(1, 10)), "Session ID: "),
    "monailabel.utils.sessions": ("Removing expired; ",),
}


class _LeftOut(logging.Filter):
    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self._beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self._beginnings)


_filters = {name: _LeftOut(beginnings) for name, beginnings in _LEFT_OUT.items()}


def filter_patient_data() -> None:
    """From here on MONAI Label prints no request and no answer."""
    for name, one in _filters.items():
        logging.getLogger(name).addFilter(one)  # a filter is kept once, however often it is added
