"""What will land, and what may become of it."""
import dataclasses
import hashlib
import typing

# Of all uploads in a bucket, how many take the key of an earlier one, and how many nobody is told of.
AGAIN = 0.05
UNTOLD = 0.02
# Seconds after which a key is taken again: before, while and after the first upload is read. The same bytes within five
# seconds are told apart by their notifications alone.
OTHER_AFTER = (1, 20)
SAME_AFTER = (8, 30)


@dataclasses.dataclass(eq=False)
class Upload:
    """One upload of one document. `who` is the invoice that it is about, none if it cannot be read."""

    key: str
    text: str
    kind: str
    who: typing.Optional[tuple]
    total: typing.Optional[int]
    # Whether a notification tells of it, and the upload that takes its key later.
    told: bool = True
    successor: typing.Optional["Upload"] = None
    # Whether it has the bytes of the upload whose key it takes.
    repeats: bool = False
    # What storage said when it landed: the document's version in the ledger, and its eTag. Folders say nothing.
    version: typing.Optional[str] = None
    etag: typing.Optional[str] = None

    def sha256(self):
        return hashlib.sha256(self.text.encode()).hexdigest()

    def is_overwritten_beside_a_twin(self):
        """Whether it is gone, and another upload of its key, right before or after it, had the same bytes."""
        return self.successor is not None and (self.repeats or self.successor.repeats)


def invoice(customer, number, price, tax, wrong=0):
    """The text of an invoice with one item; `wrong` spoils its total."""
    return (
        "Invoice\n*****\n"
        f"Customer-ID: {customer}\nInv-ID: {number}\nDated: Jan 14 2026\nFrom: A\nTo: B\n"
        f"Items\n1) thing, {price}, {tax}\n"
        f"Amount: {price}\nSGST: {tax}\nTotal: {price + tax + wrong}\nInWords: some\n"
    )


def documents(count, chance):
    """Each under a key of its own; some cannot be read, some are copies, some say another total for a known invoice."""
    good = []
    for number in range(count):
        key = f"day-{number % 7}/{number:06}.txt"
        price, tax = chance.randrange(100, 10**6), chance.randrange(0, 1000)
        draw = chance.random()
        if draw < 0.03:
            yield Upload(key, invoice(f"C{number % 50}", f"X{number}", price, tax, wrong=1), "rejected", None, None)
        elif draw < 0.06 and good:
            customer, known, price, tax = chance.choice(good)
            again = invoice(customer, known, price, tax)
            yield Upload(key, again, "again", (customer, known), price + tax)
        elif draw < 0.08 and good:
            customer, known, price, tax = chance.choice(good)
            other = invoice(customer, known, price + 1, tax)
            yield Upload(key, other, "other", (customer, known), price + 1 + tax)
        else:
            who = (f"C{number % 50}", f"I{number}")
            good.append((*who, price, tax))
            yield Upload(key, invoice(*who, price, tax), "good", who, price + tax)


def with_uploads_again(plan, count, a_second, chance):
    """The plan with uploads under earlier keys in it, cut to `count`; of some of all of them nobody is told.

    An upload that nobody was told of keeps its key: once it is overwritten no listing can find it.
    """
    uploads = []
    for upload in plan:
        upload.told = chance.random() >= UNTOLD
        if chance.random() < AGAIN:
            same = chance.random() < 0.5
            soonest, latest = (int(seconds * a_second) for seconds in (SAME_AFTER if same else OTHER_AFTER))
            recent = uploads[max(0, len(uploads) - latest):max(0, len(uploads) - soonest)]
            free = [earlier for earlier in recent if earlier.told and not earlier.successor]
            free = [earlier for earlier in free if same or earlier.kind in ("good", "rejected")]
            if free:
                uploads.append(upload_again(chance.choice(free), same, chance))
        uploads.append(upload)
    landing = set(uploads[:count])
    for upload in landing:
        if upload.successor not in landing:
            upload.successor = None
    return uploads[:count]


def upload_again(earlier, same, chance):
    """The same bytes, or what a customer puts right: the total of an invoice, or the whole of a broken one."""
    later = dataclasses.replace(earlier, told=chance.random() >= UNTOLD, repeats=same)
    if not same:
        said = dict(line.split(": ", 1) for line in earlier.text.splitlines() if ": " in line)
        price, tax = int(said["Amount"]), int(said["SGST"])
        price += 1 if earlier.kind == "good" else 0
        who = (said["Customer-ID"], said["Inv-ID"])
        later.text, later.who, later.total = invoice(*who, price, tax), who, price + tax
        later.kind = "other" if earlier.kind == "good" else "good"
    earlier.successor = later
    return later
