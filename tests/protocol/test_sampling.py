"""Go's random numbers and proof requirements: printed vectors Q-*, wire 17.2 and 17.3."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol import gorand
from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.proof_rule import claim_hash, proof_path, proof_requirement, proof_sample

BLOCK_HASH = bytes(range(32))
SESSION_ID = "46cbeb84e7538bd9d69e2fd3298c6a54e878874b9ae36e91a33cc9e06eca5a48"
WORDS = 607
TAP = 273


def composite_claim(status: int = 0) -> proof_pb2.Claim:
    """The claim of wire 17.2."""
    return proof_pb2.Claim(
        supplier_operator_address="pokt19a3t4yunp0dlpfjrp7qwnzwlrzd5fzs2gjaaaj",
        session_header=SessionHeader(
            application_address="pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4",
            service_id="develop-http",
            session_id=SESSION_ID,
            session_start_block_height=11,
            session_end_block_height=20,
        ),
        root_hash=BLOCK_HASH + (5000).to_bytes(8) + (5).to_bytes(8),
        proof_validation_status=proof_pb2.ClaimProofStatus.Name(status),
    )


def params(threshold_upokt: int, probability: float) -> proof_pb2.Params:
    """Proof parameters."""
    result = proof_pb2.Params(proof_request_probability=probability)
    result.proof_requirement_threshold.denom = "upokt"
    result.proof_requirement_threshold.amount = str(threshold_upokt)
    return result


@pytest.mark.parametrize(
    ("seed", "value"),
    [
        (0, 0.9451961492941164),
        (1, 0.6046602879796196),
        (-1, 0.3951876009960174),
        (2, 0.16729663442585624),
        (42, 0.3730283610466326),
        (52, 0.9854487445160653),
        (-21, 0.2716421893574361),
        (63, 0.15556579556915917),
        (-64, 0.3230774144220207),
        (7709, 0.35727663082120725),
        (-70232443, 0.35860620480626965),
        (123456789012345678, 0.8357471087990479),
        (2**31 - 1, 0.9451961492941164),
        (2**63 - 1, 0.6046602879796196),
        (-(2**63), 0.8328240056498365),
    ],
)
def test_first_float64(seed: int, value: float) -> None:
    """The first Float64 of known seeds."""
    assert gorand.first_float64(seed) == value


@pytest.mark.parametrize(
    ("seed", "first", "second"),
    [
        (1, 5577006791947779410, 8674665223082153551),
        (42, 3440579354231278675, 608747136543856411),
        (0, 8717895732742165505, 2259404117704393152),
        (-64, 2979863189919407714, 1833474790786065586),
    ],
)
def test_first_draws(seed: int, first: int, second: int) -> None:
    """The first two Int63 of known seeds."""
    assert gorand.first_int63(seed) == first
    assert gorand._second_int63(seed) == second


@pytest.mark.parametrize(
    ("data", "seed", "value"),
    [
        (b"", -69766194, 0.25352049889175265),
        (bytes(64), -70232443, 0.35860620480626965),
        (bytes(range(64)), -1956806867647, 0.5038459070160437),
        (b"abc", 7709, 0.35727663082120725),
    ],
)
def test_seeded_float64(data: bytes, seed: int, value: float) -> None:
    """The sample of known bytes, and the seed behind it."""
    assert gorand.varint_seed(hashlib.sha256(data).digest()) == seed
    assert gorand.seeded_float64(data) == value


@pytest.mark.parametrize(
    ("digest", "seed"),
    [
        ("00", 0),
        ("01", -1),
        ("02", 1),
        ("7f", -64),
        ("8001", 64),
        ("ff" * 9 + "01", -(2**63)),
        ("ff" * 9 + "02", 0),
        ("fe" + "ff" * 8 + "01", 2**63 - 1),
        ("80" * 10 + "01", 0),
    ],
)
def test_varint_seed(digest: str, seed: int) -> None:
    """Zigzag varints as Go reads them; what does not fit in 64 bits reads 0."""
    assert gorand.varint_seed(bytes.fromhex(digest).ljust(32, b"\x00")) == seed


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_samples_are_fractions(seed: int) -> None:
    """Every seed gives a value in [0, 1)."""
    assert 0.0 <= gorand.first_float64(seed) < 1.0


def multiply_polynomials(left: int, right: int, width: int) -> int:
    """Product modulo x^607 - x^334 - 1, coefficients modulo 2^64, packed `width` bits apart."""
    product = left * right
    mask = (1 << 64) - 1
    coefficients = [product >> width * index & mask for index in range(2 * WORDS - 1)]
    for index in range(2 * WORDS - 2, WORDS - 1, -1):
        top = coefficients[index]
        coefficients[index - WORDS] += top
        coefficients[index - WORDS + 334] += top
    return sum((coefficients[index] & mask) << width * index for index in range(WORDS))


def test_table_words() -> None:
    """The four words of Go's table are what its generator gives after 7.8e12 steps."""
    width = 144  # a coefficient of a product is below 607 * 2^128
    state, filled = 1, []
    for _ in range(20):
        state = state * 48271 % (2**31 - 1)
    for _ in range(WORDS):
        word = 0
        for shift in (20, 10, 0):
            state = state * 48271 % (2**31 - 1)
            word ^= state << shift
        filled.append(word & (1 << 64) - 1)
    steps = 7_800_000_000_000
    power = 1
    for bit in f"{steps:b}":
        power = multiply_polynomials(power, power, width)
        if bit == "1":
            power = multiply_polynomials(power, 1 << width, width)
    series = [filled[(333 - index) % WORDS] for index in range(WORDS)]
    while len(series) < 2 * WORDS:
        series.append((series[-WORDS] + series[-TAP]) & (1 << 64) - 1)
    weights = [power >> width * index & (1 << 64) - 1 for index in range(WORDS)]
    table = {
        (333 - steps - offset) % WORDS: sum(
            weight * series[index + offset] for index, weight in enumerate(weights)
        )
        & (1 << 64) - 1
        for offset in range(WORDS)
    }
    assert (table[0], table[1]) == (0xC5F74A33EB98FFEA, 0xC07B4A41BA965F5B)
    for index, word in gorand._TABLE.items():
        assert table[index] & (1 << 63) - 1 == word


@pytest.mark.parametrize(
    ("status", "digest", "sample"),
    [
        (
            0,
            "6cd6f686488d5880d9da9e46fdd3b3911738172afeee67f59a7da4d16ceafb60",
            0.17769429990237498,
        ),
        (1, "ee3263d542201e1546917e8ebfce6f099d14c8d0348b02ad20a241ffce18610b", 0.8579642522444264),
        (2, "d8d9a002ed9c4d8f2485f858daae7529a1d380aafd54089c4d7c7450dc87668e", 0.2148883570267029),
    ],
)
def test_claim_sampling(status: int, digest: str, sample: float) -> None:
    """Hash and sample of one claim in each state, and what they mean at a probability of 1/4."""
    claim = composite_claim(status)
    assert claim_hash(claim).hex() == digest
    assert proof_sample(claim, BLOCK_HASH) == sample
    requirement = proof_requirement(claim, 10, BLOCK_HASH, params(11, 0.25))
    expected = proof_pb2.PROBABILISTIC if sample <= 0.25 else proof_pb2.NOT_REQUIRED
    assert requirement == expected


def test_requirement_order() -> None:
    """The threshold is asked first and includes its own value; so does the probability."""
    claim = composite_claim()
    sample = proof_sample(claim, BLOCK_HASH)
    for amount, probability, expected in (
        (11, 0.0, proof_pb2.THRESHOLD),
        (12, 1.0, proof_pb2.THRESHOLD),
        (10, sample, proof_pb2.PROBABILISTIC),
        (10, sample - 1e-16, proof_pb2.NOT_REQUIRED),
        (10, 1.0, proof_pb2.PROBABILISTIC),
    ):
        assert proof_requirement(claim, amount, BLOCK_HASH, params(11, probability)) == expected


def test_proof_path() -> None:
    """The path of wire 17.2, and that of L-9."""
    expected = "2b09ca15a0f55f0d985112d344d618de7392462960ec2bfc104f576f071caacb"
    assert proof_path(BLOCK_HASH, SESSION_ID).hex() == expected
    expected = "cc43d88c912b7b4881a45feae73e70934e3e1f127463857cfa6464f740d582f7"
    assert proof_path(b"\x11" * 32, "sess-1").hex() == expected
