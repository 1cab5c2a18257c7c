"""Registry: nobody acts on one that the authority has not made, or that is older than one that it has seen."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Adoption, Record


def check(record: Record) -> list[Violation]:
    """Return who acted on a wrong registry, and who has another one than the newest in the end."""
    found = []
    last: dict[str, Adoption] = {}
    for each in record.adoptions:
        issued = record.issues.get(each.version)
        if issued is None or each.digest not in (b"", issued.digest):
            text = f"{each.process} acts on a registry {each.version} that the authority has not made"
            found.append(Violation("registry", text, each.at))
        before = last.get(each.process)
        if before is not None and not each.forgot and each.version < before.version + (not each.began):
            text = f"{each.process} acts on registry {each.version}, and had registry {before.version}"
            found.append(Violation("registry", text, each.at))
        last[each.process] = each
    newest = max(record.issues, default=0)
    return found + [
        Violation("registry", f"in the end {broker} acts on registry {version}, and {newest} is the newest")
        for broker, version in record.in_force.items()
        if version != newest
    ]
