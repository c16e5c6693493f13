"""HL7 over MLLP against another implementation on both sides: the hl7 package."""

import hl7
import pytest

from bridge.core.events import VALID, Observation
from hil.traffic import driver_of, traffic_of

PROTOCOLS = ("hl7_oru", "mindray_pds")
_BLOCK_END = b"\x1c\r"


def messages(data):
    """Return the messages in MLLP blocks, as the hl7 package reads them."""
    blocks = [block for block in data.split(_BLOCK_END) if block]
    return [hl7.parse(block.decode().split("\x0b", 1)[1]) for block in blocks]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_reader_understands_what_the_device_sends(protocol):
    sent = messages(traffic_of(protocol, 30, 1).bytes_sent)
    assert {str(message["MSH.F9.R1.C1"]) for message in sent} == {"ORU"}
    # A message that only says "I am alive" is a header and nothing else.
    filled = [message for message in sent if "OBX" in [str(segment[0]) for segment in message]]
    assert len(filled) > 5


def test_other_reader_understands_what_the_gateway_answers():
    found = traffic_of("hl7_oru", 30, 1)
    sent = {str(message["MSH.F10"]) for message in messages(found.bytes_sent)}
    answers = messages(b"".join(request for _, request in found.requests))
    assert len(answers) > 5
    for answer in answers:
        assert str(answer["MSH.F9.R1.C1"]) == "ACK"
        assert str(answer["MSA.F1"]) == "AA"
        assert str(answer["MSA.F2"]) in sent


def test_message_of_another_writer_is_read_and_answered():
    message = hl7.parse(
        "MSH|^~\\&|MONITOR|WARD|GATEWAY|SITE|20260301101500||ORU^R01^ORU_R01|17|P|2.6\r"
        "OBR|1|||182777000^monitoring^SCT\r"
        "OBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC||61|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R\r"
    )
    expected = message.create_ack("AA")
    driver = driver_of("hl7_oru")
    driver.rx.feed(b"\x0b" + str(message).encode() + _BLOCK_END)
    values = []
    while (event := driver.next_event()) is not None:
        if isinstance(event, Observation):
            values += [
                event.values[index] for index in range(event.count) if event.states[index] == VALID
            ]
    assert values == [61]
    (answer,) = messages(bytes(driver.next_request(0)))
    for field in ("MSH.F3", "MSH.F4", "MSH.F5", "MSH.F6", "MSA.F1", "MSA.F2"):
        assert str(answer[field]) == str(expected[field]), field
