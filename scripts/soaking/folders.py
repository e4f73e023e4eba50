"""Folders stand for the buckets; the landing is scanned."""
import os


class Folders:
    documents_a_minute = 1000
    repairs = False
    unproven = ()

    def __init__(self, home):
        self.home = home
        (home / "landing").mkdir()

    def variables(self):
        """Where the machines find everything but their database."""
        return {
            "SLUICEGATE_LANDING": str(self.home / "landing"),
            "SLUICEGATE_ARCHIVE": str(self.home / "archive"),
            "SLUICEGATE_CURATED": str(self.home / "curated"),
        }

    def prepare(self, machine):
        """Nothing has to be made."""

    def land(self, upload):
        """A document appears whole, as after an upload: written elsewhere, then renamed."""
        path = self.home / "landing" / upload.key
        path.parent.mkdir(parents=True, exist_ok=True)
        young = self.home / "upload"
        young.write_text(upload.text)
        os.replace(young, path)

    def meddle(self):
        """A scan neither loses nor doubles anything."""

    def said(self):
        return ""

    def await_the_delayed(self):
        """Nothing is on its way."""

    def messages(self):
        return 0

    def register(self):
        """The embedded catalog looks for itself."""

    def key(self, upload):
        """The key in the ledger."""
        return upload.key

    def read(self, place, suffix=""):
        """The objects of a place: (name, bytes)."""
        for path in sorted((self.home / place).rglob(f"*{suffix}")):
            if path.is_file():
                yield path.name, path.read_bytes()
