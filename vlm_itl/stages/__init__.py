"""The stages of a round: functions of the `Run` and the round that return a ledger line."""
