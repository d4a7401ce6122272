"""How many claims pass and fail; those whose setting was fitted to the very curves that they read, apart."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Counts:
    """Of claims that no setting was fitted to: passed, failed.  Of the others: fitted_passed, fitted_failed."""

    passed: int = 0
    failed: int = 0
    fitted_passed: int = 0
    fitted_failed: int = 0
    not_judged: int = 0

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> "Counts":
        """Of the records of a claims.json; those of an earlier version do not tell what was fitted."""
        found = [(record["verdict"], bool(record.get("fitted_to"))) for record in records]
        return cls(
            found.count(("pass", False)),
            found.count(("fail", False)),
            found.count(("pass", True)),
            found.count(("fail", True)),
            sum(verdict == "not_judged" for verdict, _ in found),
        )

    def __add__(self, other: "Counts") -> "Counts":
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    @property
    def judged(self) -> int:
        return self.passed + self.failed

    @property
    def fitted(self) -> int:
        return self.fitted_passed + self.fitted_failed

    @property
    def all_failed(self) -> int:
        """A fitted claim that fails fails, too."""
        return self.failed + self.fitted_failed

    def __str__(self) -> str:
        return f"judged {self.judged}, fitted {self.fitted}, failed {self.all_failed}, not judged {self.not_judged}"
