"""The one place where passwords are taken out of what is shown: messages, log lines, page, ``--print-config``.

Hidden are the password of ``SCHEME://USER:PASSWORD@HOST`` (of any scheme, and where the scheme was forgotten), values
of secret names in queries (``user=a&password=b``, ``pwd=``, ``token=``, ``auth=``; in any case, percent-encoded, too)
and in JSON, the password of ``user=a:b``, the value of an ``Authorization`` header, and whatever was registered with
:func:`keep_secret`. Host and user stay.

A password that somebody typed without percent-encoding may hold ``/``, ``?``, ``#``, ``:`` and ``@``, where RFC 3986
(3.2) would end it. Then the address has more than one reading, and the one that hides more is taken.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

__all__ = ["HIDDEN", "keep_secret", "keep_secrets_of", "redact", "redact_address", "split_userinfo"]

HIDDEN: Final[str] = "***"
_SHORTEST: Final[int] = 6
"""Shorter registered secrets would be found in ordinary words."""
_PARTS: Final = frozenset(
    {"pw", "auth", "oauth", "authorization", "bearer", "jwt", "sig", "signature", "hmac"}
    | {"key", "credential", "credentials", "cred", "creds", "sid", "session", "sess", "sessid", "sessionid", "ticket"}
    | {"pincode", "otp", "totp", "psk", "cookie", "tok", "stok", "loginpas"}
    | {"kennwort", "clave", "contrasena", "contraseña", "senha", "mdp", "motdepasse", "parola", "wachtwoord", "haslo"}
    | {"hasło", "heslo", "jelszo", "jelszó", "salasana", "losenord", "lösenord", "sifre", "şifre", "пароль"}
    | {"密码", "密碼", "パスワード", "비밀번호"}
)
_INSIDE: Final = re.compile(
    r"pass(?!ive|enger|age)|pwd|pswd|psw|pword|pwrd|paswd|token|secret|auth(?!or|ent)"
    r"|[a-z](?<!mon)(?<!tur)(?<!don)(?<!hot)(?<!joc)(?<!hoc)(?<!his)key(?![a-z])"
)
_IN_QUERIES: Final = frozenset({"pin", "code", "hash", "digest", "md5"})
"""Of secrets in an address; elsewhere (``exit code=1``) of anything."""
_USER: Final = re.compile(r"[?&;](?:u|us|usr|user|username|login)(?:=|%3d)", re.IGNORECASE)
"""Beside it ``p`` is the password; elsewhere it may be a page, a port or a profile."""
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:/{1,3}", re.IGNORECASE)  # also with a slash too few
_FIRST_ADDRESS: Final = re.compile(r"""(?:^|(?<=[\s,;|"'<>(){}\[\]=]))[a-z][a-z0-9+.-]*:/{1,3}""", re.IGNORECASE)
_PASSWORD_BEGINS: Final = re.compile(r"[a-z][a-z0-9+.-]*:/{1,3}[^/?#:]*:(?!\d{1,5}(?:[/,?#]|$))", re.IGNORECASE)
_QUERY: Final = re.compile(r"\?[\w.%\[\]-]+=")
_HOST: Final = re.compile(r"(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:[/?#]|$)", re.IGNORECASE)
_WORDS: Final = re.compile(r"\S+")
_BARE: Final = re.compile(r"""^(["'(<\[]*/{0,3}[^\s:/\\@"'=,]+):(?![\\])(\S+)@(?=[\w\[])""")
"""``user:password@host`` without a scheme."""
_ENCODED: Final = re.compile(r"(%3a%2f%2f[^\s&]*?)%3a(\S+?)%40(?!\S*%40)", re.IGNORECASE)
_HALF_ENCODED: Final = re.compile(
    r"((?:^|(?<=[\s'\"(\[=,]))[a-z][a-z0-9+.-]*:/{1,3}[^\s/?#:@]*):(?!\d{1,5}(?:[/?#]|$))([^\s@]+?)%40(?![^\s@]*%40)",
    re.IGNORECASE,
)
"""``http://user:password%40host``: encoded as a whole but for the beginning."""
_PARAMETER: Final = re.compile(
    r"""(?P<before>^|[?&;#\s"'(,{]|%26|%3f|%3b)(?P<name>[\w.%\[\]-]{1,64}?)(?P<equals>=|%3d)(?P<value>[^\s&]*?)"""
    r"""(?=%26|["')]*(?:[\s&]|$))""",
    re.IGNORECASE,
)
_INNER: Final = re.compile(
    r"""(?<!FER_WEB)(?<!FER_MQTT)(?P<before>[_;,|/])(?P<name>[a-z0-9]{1,64})(?P<equals>=|%3d)(?P<value>[^\s&]*?)"""
    r"""(?=[_;,|/][a-z0-9]+(?:=|%3d)|["')]*(?:[\s&]|$))""",
    re.IGNORECASE,
)
"""Parameters in what looks like the value of another: ``?usr=a;pwd=b``, ``/user=a_password=b_channel=1``."""
_HEADER: Final = re.compile(
    r"""\b((?:(?:proxy-)?authorization|(?:set-)?cookie)["']?\s*[:=]\s*["']?)"""
    r"""(?:(digest\s+)[^\r\n]+|((?:basic|bearer)\s+)?[^\s"']+)""",
    re.IGNORECASE,
)
_USER_AND_PASSWORD: Final = re.compile(
    r"([?&;](?:u|us|usr|user|username|login)(?:=|%3d)[^\s&:%]*(?::|%3a))[^\s&\"')]+", re.IGNORECASE
)
_IN_JSON: Final = re.compile(
    r"""(?P<before>(["'])(?P<name>[\w.-]{1,64})\2\s*:\s*)(["'])(?P<value>(?:\\.|(?!\4).)+)\4"""
)
_kept: set[str] = set()


def keep_secret(secret: str | None) -> None:
    """Never show this from now on, wherever it occurs.

    Args:
        secret: the password or token; None and fewer than six characters are ignored.
    """
    if secret and len(secret) >= _SHORTEST:
        _kept.update({secret, quote(secret, safe=""), quote(secret)})


def keep_secrets_of(address: str) -> None:
    """Register the password of an address, because a library may give back a piece of it.

    Args:
        address: of a camera, stream or broker, perhaps without a password.
    """
    password = split_userinfo(address)[2]
    if password is not None:
        keep_secret(password)
        keep_secret(unquote(password))


def split_userinfo(address: str) -> tuple[str, str | None, str | None, str]:
    """Split an address around its user and password; nothing is decoded.

    Args:
        address: one address and nothing else; it may hold spaces.

    Returns:
        The scheme with ``://``, the user, the password, and what follows the ``@``; None for a user or password that
        is not there.
    """
    match = _SCHEME.match(address)
    scheme = match.group() if match else ""
    rest = address[len(scheme) :]
    query = _QUERY.search(rest)
    at = rest[: query.start()].rfind("@") if query else rest.rfind("@")
    colon = rest.find(":")
    if query and 0 <= colon < query.start() and not (at >= 0 and _HOST.match(rest, at + 1)):
        at = rest.rfind("@")  # the "?" may be one of the password
    if at < 0:
        half = _HALF_ENCODED.match(address)
        if half is None:
            return scheme, None, None, rest
        return scheme, half.group(1)[len(scheme) :], half.group(2), address[half.end() :]
    if 0 <= colon < at:
        return scheme, rest[:colon], rest[colon + 1 : at], rest[at + 1 :]
    slash = rest.find("/")
    if 0 <= slash < at:  # http://host/a@b
        return scheme, None, None, rest
    return scheme, rest[:at], None, rest[at + 1 :]


def redact_address(address: str) -> str:
    """One address as it may be shown; unlike :func:`redact` it takes spaces for a part of the password.

    Args:
        address: one address and nothing else.

    Returns:
        The address, its secrets replaced by :data:`HIDDEN`.
    """
    scheme, user, password, rest = split_userinfo(address)
    if password is not None and (scheme or _BARE.match(address)):
        address = f"{scheme}{user}:{HIDDEN}@{rest}"
    return redact(address)


def redact(text: str) -> str:
    """Any text as it may be shown, with all addresses in it. Doing it twice changes nothing more.

    Args:
        text: a message, perhaps of a library; words end at white space.

    Returns:
        The text, its secrets replaced by :data:`HIDDEN`.
    """
    if not _kept and not any(sign in text for sign in "@=%:"):
        return text
    for secret in sorted(_kept, key=len, reverse=True):
        if secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    text = _WORDS.sub(lambda word: _without_userinfo(word.group()), text)
    text = _INNER.sub(_without_value, _HEADER.sub(rf"\1\2\3{HIDDEN}", text))
    text = _IN_JSON.sub(_without_json_value, _USER_AND_PASSWORD.sub(rf"\1{HIDDEN}", text))
    return _PARAMETER.sub(_without_value, text)


def _without_userinfo(word: str) -> str:
    if "@" in word:
        starts = [match.start() for match in _FIRST_ADDRESS.finditer(word)]
        if not starts:
            return _BARE.sub(rf"\1:{HIDDEN}@", word)
        pieces = [word[start:end] for start, end in zip(starts, [*starts[1:], len(word)], strict=True)]
        shown = [word[: starts[0]]]
        while pieces:
            piece = pieces.pop(0)
            while pieces and "@" not in piece and _PASSWORD_BEGINS.match(piece):
                piece += pieces.pop(0)  # what looked like the next address belongs to the password
            shown.append(_address_in_word(piece))
        return "".join(shown)
    if "%40" not in word:
        return word
    return _HALF_ENCODED.sub(rf"\1:{HIDDEN}%40", _ENCODED.sub(rf"\1%3A{HIDDEN}%40", word))


def _address_in_word(piece: str) -> str:
    scheme, user, password, rest = split_userinfo(piece)
    if password is None:
        return piece
    return f"{scheme}{user}:{HIDDEN}@{rest}"


def _without_value(match: re.Match[str]) -> str:
    before, name, equals, value = match.group("before", "name", "equals", "value")
    # "...": what our own notices say in place of a token. FER_WEB_TOKEN=...: a token that is proposed, not one in use.
    if not value or value == "..." or name.startswith("FER_"):
        return match.group()
    in_query = before in ("?", "&", ";") or before.startswith("%")
    weak = in_query and (name.lower() in _IN_QUERIES or (name in ("p", "P") and _USER.search(match.string)))
    if not (weak or _is_secret(name)):
        return match.group()
    return f"{before}{name}{equals}{HIDDEN}"


def _without_json_value(match: re.Match[str]) -> str:
    if HIDDEN in match["value"] or not _is_secret(match["name"]):
        return match.group()
    return f"{match['before']}{match[4]}{HIDDEN}{match[4]}"


def _is_secret(name: str) -> bool:
    plain = unquote(unquote(name)).lower()
    return bool(_INSIDE.search(plain)) or not _PARTS.isdisjoint(re.split(r"[\W_]+", plain))
