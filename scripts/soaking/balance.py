"""The soak's own count of what is there: each thing once, and nothing else."""
import collections
import csv
import hashlib
import io
import subprocess
import tarfile


def sql(url, statement):
    answer = subprocess.run(
        ["psql", url, "-XAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement],
        text=True, stdout=subprocess.PIPE, check=True,
    ).stdout
    return [line.split("\t") for line in answer.splitlines()]


def say(text):
    print(text, flush=True)


class Count:
    """One line of the balance."""

    def __init__(self, place, expected):
        self.place, self.expected = place, expected
        self.ok = self.lost = self.duplicated = self.unexpected = 0
        self.examples = []

    def found(self, what, found, allowed):
        """`found`: everything that was found under one name; `allowed`: what it may be, once."""
        if not found:
            self.lost += 1
        elif len(found) > 1:
            self.duplicated += 1
        elif found[0] not in allowed:
            self.unexpected += 1
        else:
            self.ok += 1
            return
        self.examples.append(f"{self.place}: {what}: {found[:3]}")

    def stranger(self, what):
        self.unexpected += 1
        self.examples.append(f"{self.place}: {what} was never landed")

    def balances(self):
        return self.ok == self.expected and not (self.lost or self.duplicated or self.unexpected)

    def __str__(self):
        return (f"{self.place:<10} {self.expected:>8} {self.ok:>8} {self.lost:>6} "
                f"{self.duplicated:>10} {self.unexpected:>10}")


class Decided(collections.namedtuple("Decided", "version batch ordinal outcome")):
    """A line of the ledger about a document."""


class Ledger:
    """What the ledger says of each upload."""

    def __init__(self, place, url, uploads):
        lines = collections.defaultdict(list)
        for key, *decided in sql(url, "SELECT key, version, batch_id, ordinal, outcome FROM sluicegate.document"):
            lines[key].append(Decided(*decided))
        self.about, self.merged, self.same_second = {}, 0, 0
        last = {(upload.key, upload.version): upload for upload in uploads}
        for upload in uploads:
            if last[(upload.key, upload.version)] is not upload:
                # Two uploads of the same bytes under the same key within a second are one document.
                self.same_second += 1
                continue
            there = lines[place.key(upload)]
            mine = [line for line in there if is_about(line, upload)]
            lines[place.key(upload)] = [line for line in there if line not in mine]
            if not mine and upload.is_overwritten_beside_a_twin():
                # Read after the same bytes had come once more, or never read, and its bytes were decided before: nobody
                # can tell it from the other.
                self.merged += 1
            else:
                self.about[upload] = mine
        self.strangers = [f"{key} {line}" for key, rest in lines.items() for line in rest]

    def read(self):
        """Uploads whose bytes somebody got, with their line."""
        return {upload: mine for upload, mine in self.about.items()
                if [line.outcome for line in mine] != ["superseded"]}


def is_about(line, upload):
    if upload.version is None or line.version == upload.version:
        return True
    # Overwritten before it was read: nobody saw its time.
    return upload.successor is not None and not upload.successor.repeats and line.version == f"{upload.etag}@"


def rows_against(place, rows, expected):
    found = collections.defaultdict(list)
    for customer, number, total in rows:
        found[(customer, number)].append(round(float(total) * 100))
    count = Count(place, len(expected))
    for who, totals in expected.items():
        count.found(who, found.pop(who, []), totals)
    for who in found:
        count.stranger(who)
    return count


def csv_rows(place):
    for _, text in place.read("curated/invoices"):
        for row in csv.DictReader(io.StringIO(text.decode(), newline="")):
            yield row["customer_id"], row["invoice_id"], row["total"]


def archive_against(place, ledger, uploads):
    """Each document's bytes are in the archive of the batch that decided about it, once."""
    keys = {place.key(upload) for upload in uploads}
    members = collections.defaultdict(list)
    read = ledger.read()
    count = Count("archive", len(read))
    for name, packed in place.read("archive", ".tar.zst"):
        batch = name.removesuffix(".tar.zst")
        plain = subprocess.run(["zstd", "-dcq"], input=packed, stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            for member in archive:
                ordinal, _, key = member.name.partition("/")
                if not ordinal.isdigit():
                    continue
                if key not in keys:
                    count.stranger(key)
                sha256 = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
                members[(batch, int(ordinal), key)].append(sha256)
    for upload, lines in read.items():
        found = [sha256 for line in lines for sha256 in members[(line.batch, int(line.ordinal), place.key(upload))]]
        count.found(upload.key, found, {upload.sha256()})
    return count


def outcomes_against(ledger, expected):
    """Every document has one outcome; of those about one invoice exactly one is loaded."""
    count = Count("outcomes", len(ledger.about))
    loaded = collections.Counter()
    for upload, lines in ledger.about.items():
        outcomes = [line.outcome for line in lines]
        if outcomes == ["loaded"]:
            loaded[upload.who] += 1
        allowed = {"rejected"} if upload.kind == "rejected" else {"loaded", "duplicate", "conflict"}
        count.found(upload.key, outcomes, allowed | ({"superseded"} if upload.successor else set()))
    for line in ledger.strangers:
        count.stranger(line)
    for who in expected:
        if loaded[who] != 1:
            count.unexpected += 1
            count.examples.append(f"outcomes: {who} was loaded by {loaded[who]} documents")
    return count


def crawls_against(url):
    """Each batch with rows is covered by one crawl that succeeded, and no crawl is left half done."""
    batches = sql(url, """SELECT b.batch_id, b.rows > 0, coalesce(c.state, b.crawl_id, '')
        FROM sluicegate.batch b LEFT JOIN sluicegate.crawl c USING (crawl_id)""")
    count = Count("crawls", len(batches))
    for batch, has_rows, state in batches:
        count.found(batch, [state] if state else [], {"succeeded"} if has_rows == "t" else {"succeeded", "none"})
    for crawl, state in sql(url, "SELECT crawl_id, state FROM sluicegate.crawl WHERE state <> 'succeeded'"):
        count.unexpected += 1
        count.examples.append(f"crawls: {crawl} is {state}")
    return count


def balance(place, url, uploads):
    expected = collections.defaultdict(set)
    for upload in uploads:
        if upload.who:
            # Whichever of two documents about one invoice is loaded first decides; the other is refused whole.
            expected[upload.who].add(upload.total * 100)
    ledger = Ledger(place, url, uploads)
    counts = [
        rows_against("RDS", sql(url, "SELECT customer_id, invoice_id, total FROM invoices"), expected),
        rows_against("CSV", csv_rows(place), expected),
        archive_against(place, ledger, uploads),
        outcomes_against(ledger, expected),
        crawls_against(url),
    ]
    if again := sum(upload.successor is not None for upload in uploads):
        unread = len(ledger.about) - len(ledger.read())
        say(f"{again} keys were uploaded again; of the earlier ones {unread} are superseded, and {ledger.merged} were "
            f"decided with an upload of the same bytes beside them"
            + (f"; {ledger.same_second} came in the same second" if ledger.same_second else ""))
    say(f"\n{'':<10} {'expected':>8} {'ok':>8} {'lost':>6} {'duplicated':>10} {'unexpected':>10}")
    for count in counts:
        say(str(count))
    items = sql(url, "SELECT count(*), count(DISTINCT (customer_id, invoice_id)) FROM invoice_items")[0]
    whole = [int(number) for number in items] == [len(expected)] * 2
    say(f"items      {len(expected):>8} {items[0]:>8}{'' if whole else '   NOT one for each invoice'}\n")
    for example in [line for count in counts for line in count.examples][:20]:
        say(f"  {example}")
    return whole and all(count.balances() for count in counts)
