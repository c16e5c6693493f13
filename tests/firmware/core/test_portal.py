"""Which web servers are captive portals, and which are not accused."""

import unittest

from bridge.core.portal import is_portal, request

HOSTS = ["10.0.0.5", "broker.ward.example"]


def answer(status, *lines):
    parts = [b"HTTP/1.1 " + status]
    parts.extend(lines)
    return b"\r\n".join(parts) + b"\r\n\r\n<html>"


class TestPortal(unittest.TestCase):
    def test_question_names_the_host(self):
        self.assertEqual(request("10.0.0.5"), b"GET / HTTP/1.0\r\nHost: 10.0.0.5\r\n\r\n")

    def test_who_sends_elsewhere_is_a_portal(self):
        for place in (
            b"http://login.portal/",
            b"https://wifi.example:8443/a?b=http://10.0.0.5/",
            b"http://10.0.0.55",
        ):
            for field in (b"Location: ", b"location:"):
                for status in (b"302 Found", b"307 Temporary Redirect", b"301"):
                    self.assertTrue(is_portal(answer(status, field + place), HOSTS))

    def test_who_wants_a_login_first_is_a_portal(self):
        self.assertTrue(is_portal(b"HTTP/1.0 511 Network Authentication Required\r\n", HOSTS))

    def test_a_site_of_its_own_is_not_accused(self):
        for head in (
            b"",
            b"\x15\x03\x03\x00\x02\x02\x46",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/1.1",
            answer(b"200 OK"),
            answer(b"401 Unauthorized"),
            answer(b"302 Found"),
            answer(b"301 Moved Permanently", b"Location: https://10.0.0.5/"),
            answer(b"301 Moved Permanently", b"Location: https://Broker.Ward.Example:443/x"),
            answer(b"302 Found", b"Location: /login"),
            b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0",
        ):
            self.assertFalse(is_portal(head, HOSTS), head)


if __name__ == "__main__":
    unittest.main()
