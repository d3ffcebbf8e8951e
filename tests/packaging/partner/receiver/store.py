from receiver import Received


def store(ledger: list[Received], click: str) -> None:
    ledger.append(Received(click))
