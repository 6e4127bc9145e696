"""What a portrait shows, in words."""

from __future__ import annotations

from facecloak.pocket.drawing.identity import Identity
from facecloak.pocket.drawing.nuisance import BLUSHES, LIPSTICKS, SHADOWS, Nuisance


def captions(who: Identity, how: Nuisance) -> list[str]:
    """One sentence a portrait.

    Every caption says either "with makeup" or "without makeup"; "lipstick", "eye shadow" and "blush" are said, with
    their colours, exactly when they are there.
    """
    people = [dict(zip(who.names, row, strict=True)) for row in who.values.tolist()]
    photos = [dict(zip(how.names, row, strict=True)) for row in how.values.tolist()]
    return [_caption(person, photo) for person, photo in zip(people, photos, strict=True)]


def _caption(person: dict[str, float], photo: dict[str, float]) -> str:
    sex = "woman" if person["feminine"] > 0.5 else "man"
    age = "young " if person["age"] < 34 else "old " if person["age"] > 56 else ""
    worn = _makeup(photo)
    text = f"a portrait of {'an' if age == 'old ' else 'a'} {age}{sex} {'with' if worn else 'without'} makeup"
    details = [*worn, _hair(person), *_extras(person, photo)]
    text += ", " + (", ".join(details[:-1]) + " and " if len(details) > 1 else "") + details[-1]
    return text + (", smiling" if photo["smile"] > 0.34 else "")


def _makeup(photo: dict[str, float]) -> list[str]:
    parts = (("lipstick", LIPSTICKS, "lipstick"), ("shadow", SHADOWS, "eye shadow"), ("blush", BLUSHES, "blush"))
    return [f"{list(palette)[int(photo[f'{key}_kind'])]} {word}" for key, palette, word in parts if photo[key] > 0]


def _hair(person: dict[str, float]) -> str:
    if not person["hair_cover"]:
        return "a shaven head"
    if person["grey"] > 0.5:
        colour = "grey"
    elif person["hair_red"] > 0.4 and person["hair_melanin"] < 0.75:
        colour = "red"
    else:
        colour = "blond" if person["hair_melanin"] < 0.3 else "brown" if person["hair_melanin"] < 0.82 else "black"
    length = "curly" if person["curl"] > 0.6 else "short" if person["hair_length"] < 0.3 else "long"
    if person["bun"] > 0:
        return f"{colour} hair in a bun"
    return f"{'shoulder-length' if length == 'long' and person['hair_length'] < 1.3 else length} {colour} hair"


def _extras(person: dict[str, float], photo: dict[str, float]) -> list[str]:
    bearded = person["beard"] > 0 or person["goatee"] > 0
    said = ["a beard"] if bearded else ["a moustache"] if person["moustache"] > 0 else []
    return said + (["glasses"] if photo["glasses"] > 0.5 else [])
