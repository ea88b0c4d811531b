"""How people and tools write the serial and the fingerprint of a certificate."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

LONG: Final = "5e60fd5e998d075900587adf3b275d281c8e2791"
_DIGEST: Final = "0f" * 31 + "aB"
_PAIRS: Final = ":".join(_DIGEST[at : at + 2] for at in range(0, 64, 2))

SERIALS: Final = (
    ("af0", "af0"),
    ("0AF0", "af0"),
    ("0a:f0", "af0"),
    ("0A:F0", "af0"),
    ("00:0a:f0", "af0"),
    ("0A F0", "af0"),
    ("0xAF0", "af0"),
    ("0XaF0", "af0"),
    (" \taf0\r\n", "af0"),
    ("serial=0AF0", "af0"),
    ("Serial=0AF0\n", "af0"),
    ("serial = 0A:F0", "af0"),
    ("Serial Number: 2800 (0xaf0)", "af0"),
    ("Serial Number:\n            0a:f0", "af0"),
    ("serial number=0AF0", "af0"),
    ("serial:2800", "af0"),
    ("serial: 2800", "af0"),
    ("SERIAL:002800", "af0"),
    ("2800", "2800"),
    (LONG, LONG),
    (LONG.upper(), LONG),
    (f"00:{LONG}", LONG),
    (f"serial:{int(LONG, 16)}", LONG),
    ("f" * 40, "f" * 40),
    (f"serial:{2**160 - 1}", "f" * 40),
    ("1", "1"),
)
NO_SERIALS: Final = (
    "",
    " ",
    "0",
    "00:00",
    "serial:0",
    "serial:",
    "serial:af0",
    "serial:-5",
    "-5",
    "0x",
    "x",
    "serial",
    "1" * 41,
    "f" * 63,
    f"serial:{2**160}",
    f"serial:{'9' * 150}",
    "1" * 64,
    "0" * 24 + LONG,
    "grant/x",
    "af0;",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "\N{FULLWIDTH DIGIT ONE}",
    "\N{KELVIN SIGN}",
    "af0" + " " * 200 + "1",
    "' OR true --",
)
FINGERPRINT: Final = f"sha256:{_DIGEST.lower()}"
FINGERPRINTS: Final = (
    FINGERPRINT,
    FINGERPRINT.upper(),
    _DIGEST,
    _DIGEST.upper(),
    _PAIRS,
    _PAIRS.upper(),
    _PAIRS.replace(":", " "),
    f"SHA256 Fingerprint={_PAIRS.upper()}",
    f"sha256 Fingerprint={_PAIRS.upper()}",
    f"SHA-256: {_PAIRS}",
    f"sha256={_DIGEST}",
    f" sha256:{_PAIRS}\n",
)
NO_FINGERPRINTS: Final = (
    "",
    "af0",
    "sha256:",
    _DIGEST[:-1],
    f"{_DIGEST}0",
    f"sha1:{_DIGEST}",
    f"md5 Fingerprint={_PAIRS}",
    f"sha256:sha256:{_DIGEST}",
    f"0x{_DIGEST}",
    _DIGEST.replace("a", "g"),
    f"{_DIGEST[:-1]}\N{FULLWIDTH DIGIT ONE}",
)

numbers: Final = st.integers(1, 2**160 - 1)


@st.composite
def spelled(draw: st.DrawFn, number: int) -> str:
    """Return a spelling of a serial."""
    digits = format(number, "x").zfill(draw(st.integers(0, 42)))
    digits = digits if len(digits) != 64 else digits[1:]
    even = digits if len(digits) % 2 == 0 else f"0{digits}"
    pairs = [even[at : at + 2] for at in range(0, len(even), 2)]
    word = draw(
        st.sampled_from(
            [
                *(digits, f"0x{digits}", ":".join(pairs), " ".join(pairs), f"serial={digits}"),
                *(f"serial:{number}", f"Serial Number: {number} (0x{number:x})"),
            ]
        )
    )
    return draw(st.sampled_from([word, word.upper(), f" {word}\n"]))
