#!/usr/bin/env python3
"""Writes the vectors of this folder from a second, independent implementation of the whole protocol.

Plain Python without libraries, slow and not constant time: it exists so that the Rust crate is compared with something
that shares no code with it, from the seed to the last byte on the wire. `make.py` writes, `make.py --check` compares.
"""

import hashlib
import json
import pathlib
import struct
import sys

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
A = 486662
DST = b"tacitly-psi-1-curve25519_XMD:SHA-512_ELL2_NU_"


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- the curve -------------------------------------------------------------------------------------------------------


def encode_to_curve(message):
    """RFC 9380, suite curve25519_XMD:SHA-512_ELL2_NU_ without the cofactor: a u-coordinate."""
    dst = DST + bytes([len(DST)])
    zero = hashlib.sha512(bytes(128) + message + struct.pack(">H", 48) + b"\0" + dst).digest()
    first = hashlib.sha512(zero + b"\1" + dst).digest()
    r = int.from_bytes(first[:48], "big") % P
    denominator = (1 + 2 * r * r) % P
    x = -A * pow(denominator, -1, P) % P if denominator else -A % P
    square = (x**3 + A * x * x + x) % P
    return x if pow(square, (P - 1) // 2, P) in (0, 1) else (-x - A) % P


def multiply(k, u):
    """The u-coordinate of k times a point, by the ladder of RFC 7748 without clamping."""
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in reversed(range(256)):
        if swap := (k >> bit) & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + (A - 2) // 4 * (aa - bb)) % P
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return x2 * pow(z2, -1, P) % P if z2 % P else 0


def point_bytes(u):
    return u.to_bytes(32, "little")


# --- randomness ------------------------------------------------------------------------------------------------------


def derive(seed, label):
    return sha256(b"tacitly-seed-1\n", seed, struct.pack(">Q", len(label)), label.encode())


def chacha20(seed):
    """The 32-bit words of ChaCha20 under a key, nonce 0, counter from 0."""
    counter = 0
    while True:
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", seed)]
        start += [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
        words = start[:]

        def quarter(a, b, c, d):
            for to, by, into, turn in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
                words[to] = (words[to] + words[by]) & 0xFFFFFFFF
                mixed = words[into] ^ words[to]
                words[into] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF

        for _ in range(10):
            for at in range(4):
                quarter(at, at + 4, at + 8, at + 12)
            for at in range(4):
                quarter(at, 4 + (at + 1) % 4, 8 + (at + 2) % 4, 12 + (at + 3) % 4)
        yield from ((word + first) & 0xFFFFFFFF for word, first in zip(words, start))
        counter += 1


def draw_scalar(seed):
    words = chacha20(seed)
    while True:
        wide = struct.pack("<16I", *(next(words) for _ in range(16)))
        k = int.from_bytes(wide, "little") % L
        if k and 8 * (k * pow(8, -1, L) % L) < 2**255:
            return k


def random_order(length, seed):
    words, order = chacha20(seed), list(range(length))
    for last in range(length - 1, 0, -1):
        bound = last + 1
        while (wide := next(words) * bound) & 0xFFFFFFFF < 2**32 % bound:
            pass
        order[last], order[wide >> 32] = order[wide >> 32], order[last]
    return order


# --- terms and messages ----------------------------------------------------------------------------------------------


class Job:
    """The agreed terms, both parties' inputs, and what each of them says and learns."""

    def __init__(self, flow, receivers, items, padded=None, chunk=3, label="all", job="vector"):
        self.flow, self.receivers, self.items, self.chunk, self.label = flow, receivers, items, chunk, label
        self.padded = padded or {}
        self.length = {who: self.padded.get(who, len(items[who])) for who in items}
        largest = max(max(len(items[who]), self.length[who]) for who in items)
        bits = 48
        while 2 ** (bits - 48) < largest**2:
            bits += 1
        self.tag_bytes = -(-bits // 8)
        parties = {}
        for who in items:
            parties[who] = {"items": len(items[who])}
            if who in self.padded:
                parties[who]["padded"] = self.padded[who]
        self.terms = {
            "protocol": "tacitly.psi", "version": 1, "flow": flow, "parties": parties, "receivers": sorted(receivers),
            "key": ["raw"], "job": job, "chunk": chunk, "tag_bytes": self.tag_bytes,
        }
        self.canonical = json.dumps(self.terms, sort_keys=True, separators=(",", ":")).encode()
        self.hash = sha256(b"tacitly-terms-1\n", self.canonical)
        self.session = sha256(b"tacitly-session-1\n", self.hash, label.encode())[:16]
        self.seeds = {who: sha256(b"seed of " + who.encode()) for who in items}
        bound = {who: derive(seed, f"tacitly-psi-1 {self.hash.hex()} {label}") for who, seed in self.seeds.items()}
        self.scalar = {who: draw_scalar(derive(bound[who], "scalar")) for who in items}
        self.order = {who: random_order(self.length[who], derive(bound[who], "list order")) for who in items}
        self.shuffle = {
            who: random_order(self.length[self.peer(who)], derive(bound[who], "answer order")) for who in items
        }
        padding = {who: derive(bound[who], "padding") for who in items}
        self.points, self.tags = {}, {}
        for who in items:
            uniform = [sha256(b"tacitly-psi-1: item to uniform.\n", self.hash, item.encode()) for item in items[who]]
            for index in range(len(uniform), self.length[who]):
                uniform.append(sha256(padding[who], struct.pack(">I", index)))
            once = [multiply(8 * self.scalar[who], encode_to_curve(uniform[index])) for index in self.order[who]]
            self.points[who] = [point_bytes(u) for u in once]
            self.tags[who] = [self.tag(multiply(self.scalar[self.peer(who)], u)) for u in once]

    def peer(self, who):
        return next(other for other in self.items if other != who)

    def tag(self, u):
        return sha256(b"tacitly-psi-1 tag\n", point_bytes(u))[: self.tag_bytes]

    def list_digest(self, kind, sender, entries):
        name = bytes([len(sender)]) + sender.encode()
        return sha256(f"tacitly-psi-1 {kind}\n".encode(), self.hash, self.session, name, *entries)

    def common(self, who):
        """(tag, index) of the items that both hold, sorted by tag."""
        theirs = set(self.tags[self.peer(who)])
        return sorted((tag, i) for tag, i in zip(self.tags[who], self.order[who]) if tag in theirs)

    def order_message(self, tags):
        count = struct.pack(">Q", len(tags))
        wide = [bytes(16 - self.tag_bytes) + tag for tag in tags]
        return count + sha256(b"tacitly-psi-1 order\n", self.hash, self.session, count, *wide)

    def chunks(self, field, entries):
        return [field_of(field, *entries[at : at + self.chunk]) for at in range(0, len(entries), self.chunk)]

    def set_frames(self, sender, points):
        return self.chunks(2, points) + [field_of(3, self.list_digest("set", sender, points))]

    def tag_frames(self, sender, tags):
        return self.chunks(4, tags) + [field_of(5, self.list_digest("tags", sender, tags))]

    def answers(self, who):
        tags = self.tags[self.peer(who)]
        return [tags[place] for place in self.shuffle[who]] if self.flow == "cardinality" else tags

    def frames(self, who):
        frames = [field_of(1, self.canonical)] + self.set_frames(who, self.points[who])
        if self.peer(who) in self.receivers:
            frames += self.tag_frames(who, self.answers(who))
        if self.flow == "align":
            frames.append(field_of(6, self.order_message([tag for tag, _ in self.common(who)])))
        return frames

    def outcome(self, who):
        indices = [index for _, index in self.common(who)]
        if who not in self.receivers:
            return {"served": True}
        return {
            "intersect": {"matched": sorted(indices)}, "align": {"aligned": indices}, "cardinality": {"size": len(indices)},
        }[self.flow]

    def describe(self, what):
        return {
            "what": what, "flow": self.flow, "receivers": self.receivers, "key": ["raw"], "job": self.terms["job"],
            "chunk": self.chunk, "label": self.label,
            "parties": {
                who: {"seed": self.seeds[who].hex(), "items": self.items[who], "padded": self.padded.get(who)}
                for who in self.items
            },
        }


def field_of(number, *parts):
    content = b"".join(parts)
    length, size = b"", len(content)
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


# --- the vectors -----------------------------------------------------------------------------------------------------

ITEMS = {"bank": ["ada", "bob", "cy", "dan", "eve", "fay", "gil"], "shop": ["gil", "hal", "eve", "ida", "cy", "jon", "", "银行"]}
vectors = {}


def known_answer(name, what, *arguments, **options):
    job = Job(*arguments, **options)
    vectors[name] = job.describe(what) | {
        "terms": job.canonical.decode(), "terms_hash": job.hash.hex(), "session": job.session.hex(),
        "frames": {who: [frame.hex() for frame in job.frames(who)] for who in job.items},
        "outcomes": {who: job.outcome(who) for who in job.items},
    }


def script(name, what, job, frames, **ending):
    """The bank gets these frames from the shop, one after another, and ends so."""
    vectors[name] = job.describe(what) | {"party": "bank", "frames_in": [frame.hex() for frame in frames]} | ending


def fails(round_, code, index=None):
    return {"fails": {"round": round_, "code": code, "index": index}}


known_answer("intersect_one", "one receiver", "intersect", ["bank"], ITEMS)
known_answer("intersect_both", "both receive", "intersect", ["bank", "shop"], ITEMS)
known_answer("align", "rows in one order", "align", ["bank", "shop"], ITEMS)
known_answer("cardinality_one", "the size for one", "cardinality", ["shop"], ITEMS)
known_answer("cardinality_both", "the size for both", "cardinality", ["bank", "shop"], ITEMS)
known_answer("padded", "both lists filled up", "align", ["bank", "shop"], ITEMS, padded={"bank": 9, "shop": 11}, label="bucket-3")
known_answer("empty", "one list is empty", "intersect", ["bank", "shop"], {"bank": [], "shop": ["ada", "bob"]})
known_answer("no_items", "both lists are empty", "align", ["bank", "shop"], {"bank": [], "shop": []})

job = Job("align", ["bank", "shop"], ITEMS)
honest = job.frames("shop")
opening, points, tags = honest[0], job.points["shop"], job.answers("shop")


def with_points(*replaced):
    changed = points[:]
    for place, point in replaced:
        changed[place] = point
    return changed


script("script_honest", "the honest frames, as a check of the scripts below", job, honest,
       outcome={"aligned": [index for _, index in job.common("bank")]})

malformed = fails(0, "malformed")
script("bad_opening_not_canonical", "terms with a space", job, [field_of(1, job.canonical.replace(b":", b": ", 1))], **malformed)
script("bad_opening_other_terms", "other terms under this session's tag", job, [field_of(1, job.canonical.replace(b"vector", b"victor"))], **malformed)
script("bad_opening_missing", "points before the terms", job, honest[1:2], **fails(0, "unexpected"))
script("bad_empty_message", "no field at all", job, [opening, b""], **fails(1, "malformed"))
script("bad_unknown_field", "points and a field that nobody knows", job, [opening, honest[1] + b"\x78\x01"], **fails(1, "malformed"))
script("bad_two_fields", "points twice in one frame", job, [opening, honest[1] + honest[1]], **fails(1, "malformed"))
script("bad_long_length", "a length in more bytes than it needs", job, [opening, honest[1][:1] + b"\xe0\x00" + honest[1][2:]], **fails(1, "malformed"))
script("bad_points_missing", "the digest while points are due", job, [opening, honest[1], honest[4]], **fails(1, "unexpected"))
script("bad_points_too_few", "two points where three are due", job, [opening, field_of(2, *points[:2])], **fails(1, "count", 2))
script("bad_points_too_many", "four points where three are due", job, [opening, field_of(2, *points[:4])], **fails(1, "count", 4))
script("bad_points_after_the_list", "points where the digest is due", job, honest[:4] + [honest[1]], **fails(1, "unexpected"))
script("bad_points_torn", "a point of 31 bytes", job, [opening, field_of(2, *points[:3])[:1] + b"\x5f" + b"".join(points[:3])[:95]], **fails(1, "malformed"))
for name, what, number in [("prime", "the prime itself", P), ("above_prime", "1, not reduced", P + 1), ("largest", "all bits but the top one", 2**255 - 1),
                           ("top_bit", "the top bit set", 2**255 + 9)]:
    script(f"bad_point_{name}", what, job, [opening] + job.set_frames("shop", with_points((4, point_bytes(number))))[:2], **fails(1, "point-encoding", 4))
# The u-coordinates of all points of order 2, 4 and 8 on the curve and on its twist.
LOW_ORDER = {
    "zero": 0, "one": 1, "minus_one": P - 1,
    "order_8": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "order_8_other": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
}
for name, number in LOW_ORDER.items():
    assert multiply(8, number) == 0
    script(f"bad_point_low_order_{name}", "a point of low order", job, [opening] + job.set_frames("shop", with_points((4, point_bytes(number))))[:2], **fails(1, "low-order-point", 4))
script("bad_set_digest", "another list than the digest says", job, [opening] + job.set_frames("shop", with_points((4, points[5])))[:3] + [honest[4]], **fails(1, "set-digest"))
script("bad_set_digest_torn", "a digest of 31 bytes", job, honest[:4] + [field_of(3, bytes(31))], **fails(1, "malformed"))
repeated = [opening] + job.set_frames("shop", with_points((6, points[1]))) + job.tag_frames("shop", tags)
script("bad_repeated_point", "one item twice in the list", job, repeated, **fails(1, "repeated-point", 6))
script("bad_tags_too_few", "two tags where three are due", job, honest[:5] + [field_of(4, *tags[:2])], **fails(2, "count", 2))
script("bad_tags_torn", "a tag that is too short", job, honest[:5] + [field_of(4, b"".join(tags[:3])[:-1])], **fails(2, "malformed"))
script("bad_tags_missing", "the digest while tags are due", job, honest[:6] + [honest[8]], **fails(2, "unexpected"))
script("bad_tags_digest", "other tags than the digest says", job, honest[:5] + job.tag_frames("shop", [bytes(job.tag_bytes)] + tags[1:])[:3] + [honest[8]], **fails(2, "tags-digest"))
script("bad_repeated_tag", "one tag for two items", job, honest[:5] + job.tag_frames("shop", tags[:5] + [tags[2]] + tags[6:]), **fails(2, "repeated-tag", 5))
agreed = job.order_message([tag for tag, _ in job.common("bank")])
script("bad_order_digest", "another order", job, honest[:9] + [field_of(6, agreed[:8] + bytes(32))], **fails(3, "order-digest"))
script("bad_order_count", "another number of rows", job, honest[:9] + [field_of(6, struct.pack(">Q", 4) + agreed[8:])], **fails(3, "order-digest"))
script("bad_order_torn", "an order of 7 bytes", job, honest[:9] + [field_of(6, bytes(7))], **fails(3, "malformed"))
script("bad_after_the_end", "a message after the last", job, honest + [honest[-1]], **fails(3, "unexpected"))

# Points of the twist are accepted: they tell nothing and match nothing.
one = Job("intersect", ["bank"], ITEMS)
is_on_curve = lambda u: pow((u**3 + A * u * u + u) % P, (P - 1) // 2, P) == 1
twist = next(u for u in range(2, 100) if not is_on_curve(u))
gil = next(place for place, index in enumerate(one.order["shop"]) if ITEMS["shop"][index] == "gil")
on_twist = [point_bytes(twist) if place == gil else point for place, point in enumerate(one.points["shop"])]
script("accepted_twist_point", "a point of the twist in the place of an item that both hold", one,
       [one.frames("shop")[0]] + one.set_frames("shop", on_twist) + one.tag_frames("shop", one.answers("shop")),
       outcome={"matched": [index for index in one.outcome("bank")["matched"] if ITEMS["bank"][index] != "gil"]})

folder = pathlib.Path(__file__).parent
stale = []
for name, vector in vectors.items():
    path = folder / f"{name}.json"
    text = json.dumps(vector, indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        stale += [] if path.exists() and path.read_text() == text else [path.name]
    else:
        path.write_text(text)
stale += [path.name for path in folder.glob("*.json") if path.stem not in vectors]
if stale:
    sys.exit(f"not as written by this script: {', '.join(stale)}")
