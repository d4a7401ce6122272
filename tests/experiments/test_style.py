"""The look that all figures share."""

from matplotlib.figure import Figure

from ntkrun.experiments import style


def test_log_axes_have_ticks_that_can_be_read():
    figure = Figure(figsize=(15, 4))
    wide, binary, narrow = figure.subplots(1, 3)
    wide.set(xscale="log", xlim=(1e-3, 10.0))
    binary.set_xscale("log", base=2)
    binary.set_xlim(1, 1024)
    narrow.set(xscale="log", xlim=(0.5, 3.0))
    style.ticks_at_powers(figure)
    labels = [text.get_text() for text in wide.get_xticklabels()]
    assert {"10⁻³", "10⁻²", "10⁰", "10¹"} <= set(labels) and not len(wide.get_xticks(minor=True))
    assert "2¹⁰" in [text.get_text() for text in binary.get_xticklabels()]
    assert {"0.5", "1", "2"} <= {text.get_text() for text in narrow.get_xticklabels()}
    assert not len(narrow.get_xticks(minor=True))
