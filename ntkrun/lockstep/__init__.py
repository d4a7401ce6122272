"""The loop that moves rivals together step by step, whoever they are, and what it runs on."""
