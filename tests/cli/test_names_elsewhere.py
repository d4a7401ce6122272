"""What a setting or a choice is called in other programs is answered by its name here."""

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr=0.1", "did you mean optimizer.learning_rate?"),
        ("optimizer.lr=0.1", "did you mean optimizer.learning_rate?"),
        ("optimizer.epochs=3", "did you mean optimizer.steps?"),
        ("model.activation=silu", "did you mean swish?"),
        ("loss=ce", "did you mean cross_entropy?"),
        ("data=fashion_mnist", "is data.name=fashion_mnist"),
        ("data=MNIST", "did you mean mnist?"),
    ],
)
def test_the_name_that_it_has_here_is_told(ntkrun, typed, meant):
    code, _, err = ntkrun("experiment=lockstep", "scale=smoke", typed)
    assert code == 2 and meant in err and len(err.splitlines()) == 1
