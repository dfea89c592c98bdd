"""Every envelope of a passport verifies with securesystemslib, and not with one other bit."""

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

import evidence

known = {
    key_id: SSlibKey(key_id, "ed25519", "ed25519", {"public": raw.hex()})
    for key_id, raw in evidence.public_keys().items()
}

for name, document in evidence.envelopes():
    envelope = Envelope.from_dict(document)
    signers = [known[key_id] for key_id in envelope.signatures]
    accepted = envelope.verify(signers, threshold=len(signers))
    assert len(accepted) == len(signers)
    print(f"ok   {name}: {len(accepted)} signature(s) over a PAE of {len(envelope.pae())} bytes")

envelope.payload = evidence.flipped(envelope.payload, 20)
evidence.refused("a payload with one other bit", VerificationError, lambda: envelope.verify(signers, len(signers)))
envelope.payload = evidence.flipped(envelope.payload, 20)
envelope.payload_type = "application/json"
evidence.refused("another payload type", VerificationError, lambda: envelope.verify(signers, len(signers)))
envelope.payload_type = "application/vnd.in-toto+json"
for signature in envelope.signatures.values():
    signature.signature = evidence.flipped(bytes.fromhex(signature.signature), 63).hex()
evidence.refused("a signature with one other bit", VerificationError, lambda: envelope.verify(signers, len(signers)))
