"""
Rooms with rules: C{PYTHONPATH=examples twistd -n hixie --service moderated.rooms}.
"""

from txhixie import HandshakeError, Rooms, Visitor


def onJoin(visitor: Visitor) -> str:
    """
    Keep strangers out of the staff's room, and greet everybody else.
    """
    assert visitor.request is not None
    names = visitor.request.args.get(b"name", [])
    if visitor.room == "staff" and names != [b"ann"]:
        raise HandshakeError(403, "this room is for the staff")
    visitor.send(f"Welcome to {visitor.room or 'the lobby'}.")
    # Clients with ?format=json see this with the news that somebody came.
    return names[0].decode("utf-8", "replace") if names else ""


def onMessage(visitor: Visitor, message: str) -> str | bool:
    """
    Answer a question, and mind the language.
    """
    if message == "/id":
        visitor.send(f"You are {visitor.id}.")
        return False
    return message.replace("damn", "d***")


rooms = Rooms("/chat", onJoin=onJoin, onMessage=onMessage)
