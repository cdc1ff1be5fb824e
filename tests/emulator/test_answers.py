"""How the emulator sends its answers."""

import socket

import pytest

from tests.emulator.support import Aws

pytestmark = pytest.mark.emulator

REQUEST = b"GET /_ministack/health HTTP/1.1\r\nHost: aws\r\n\r\n"


def test_head_and_body_come_at_once_on_a_connection_that_stays_open(aws: Aws) -> None:
    with socket.create_connection(("127.0.0.1", aws.emulator.port), timeout=10) as connection:
        for _ in range(50):
            connection.sendall(REQUEST)
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            assert len(body) == int(length.partition(b":")[2]) > 0
