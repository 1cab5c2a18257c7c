"""The checks of the brokers together."""

from collections.abc import Sequence

from braidmq.cli.doctor.finding import Asked, Finding, State, ok
from braidmq.cli.doctor.visit import Visit
from braidmq.cli.exit_codes import ExitCode


def via(asked: Asked, known: Sequence[str], visits: Sequence[Visit]) -> Finding | None:
    """The broker that was named is one of this net."""
    if not asked.via or asked.via in known:
        return None
    if not any(visit.welcome for visit in visits):
        text = f"{asked.via} is not in the join file, and no broker could be asked"
        return Finding("via", State.WRONG, text, "mend the way to a broker first", ExitCode.UNAVAILABLE)
    text = f"{asked.via} is no broker of this net: its brokers are {', '.join(known)}"
    mend = "name one of them; or braidmq add broker NAME --net DIR --endpoint tcp://HOST:PORT"
    return Finding("via", State.WRONG, text, mend, ExitCode.UNAVAILABLE)


def registry(visits: Sequence[Visit]) -> Finding | None:
    """All brokers have the same registry."""
    versions: dict[int, list[str]] = {}
    for visit in visits:
        if visit.welcome is not None and visit.welcome.registry:
            versions.setdefault(visit.welcome.registry, []).append(visit.name)
    if not versions:
        return None
    if len(versions) == 1:
        return ok("registry", f"all that tell have registry {next(iter(versions))}")
    newest = max(versions)
    held = "; ".join(f"{', '.join(versions[version])} {version}" for version in sorted(versions, reverse=True))
    text = f"the brokers do not have the same registry: {held}"
    behind = ", ".join(name for version, names in versions.items() if version < newest for name in names)
    mend = f"bring it to {behind}: braidmq publish --net DIR, or copy their join files anew"
    return Finding("registry", State.WRONG, text, mend, ExitCode.FAILURE)
