from tried import TRIED


def pytest_terminal_summary(terminalreporter) -> None:
    if TRIED:
        terminalreporter.write_line("tried: " + ", ".join(f"{count} {what}" for what, count in TRIED.items()))
