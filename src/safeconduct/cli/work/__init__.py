"""What the commands do. Imported when one of them runs, see the package above."""
