"""Which settings the paper's digitised curves speak for, where its text is silent: `scripts/recover_settings.py`."""
