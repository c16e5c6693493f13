"""The configuration is checked whole, and says what is wrong."""

import unittest

from bridge.core.config import FIELDS, Config
from bridge.core.errors import ConfigError


def good():
    return {
        "bed": "bed-1",
        "sites": [{"name": "primary", "id": "00" * 8, "host": "127.0.0.1", "port": 1883}],
        "lines": [
            {
                "uart": 1,
                "protocol": "masimo_set",
                "baud": 9600,
                "devices": [{"name": "oximeter", "class": "A", "unit": 0}],
            }
        ],
    }


class TestConfig(unittest.TestCase):
    def test_defaults_fill_what_is_not_said(self):
        config = Config(good())
        for name, default, _, _, _ in FIELDS:
            self.assertEqual(getattr(config, name), default)
        line = config.lines[0]
        self.assertEqual((line["bits"], line["parity"], line["stop"]), (8, "N", 1))

    def test_where_the_time_is_from_has_ports_of_its_own(self):
        data = good()
        self.assertEqual(Config(data).sites[0]["time_port"], 8322)
        self.assertEqual(Config(data).ntp, [])
        data["ntp"] = ["10.0.0.1", "10.0.0.2:1123"]
        self.assertEqual(Config(data).ntp, [("10.0.0.1", 123), ("10.0.0.2", 1123)])

    def test_each_field_is_bounded(self):
        for name, _, low, high, _ in FIELDS:
            for value in (low - 1, high + 1, "5", None, True):
                data = good()
                data[name] = value
                with self.assertRaises(ConfigError):
                    Config(data)

    def test_what_is_wrong_is_named(self):
        for change, word in (
            (lambda d: d.update(bed=""), "bed"),
            (lambda d: d.update(beds=1), "beds"),
            (lambda d: d.update(radio="EU868"), "radio"),
            (lambda d: d.update(sites=[]), "sites"),
            (lambda d: d["sites"][0].update(id="12"), "id"),
            (lambda d: d["sites"][0].pop("port"), "port"),
            (lambda d: d["lines"][0].update(parity="X"), "parity"),
            (lambda d: d["lines"][0].update(speed=1), "speed"),
            (lambda d: d["lines"][0].update(devices=[]), "devices"),
            (lambda d: d["lines"][0]["devices"][0].update({"class": "D"}), "class"),
            (lambda d: d["lines"].append(dict(d["lines"][0])), "twice"),
            (lambda d: d.update(links=[]), "links"),
            (lambda d: d.update(links={"wimax": {}}), "wimax"),
            (lambda d: d.update(links={"wifi": {"ssid": "ward"}}), "key"),
            (lambda d: d.update(links={"wifi": {"key": "12345678"}}), "ssid"),
            (lambda d: d.update(links={"cellular": {"apn": 'a"b'}}), "apn"),
            (lambda d: d.update(links={"cellular": {"apn": "a", "pin": "1"}}), "pin"),
            (lambda d: d.update(links={"dns": ["ns.ward"]}), "dns"),
            (lambda d: d["sites"][0].update(time_port=65536), "time_port"),
            (lambda d: d["sites"][0].update(time_port="8322"), "time_port"),
            (lambda d: d.update(ntp="10.0.0.1"), "ntp"),
            (lambda d: d.update(ntp=["10.0.0.1"] * 5), "ntp"),
            (lambda d: d.update(ntp=["10.0.0.1:x"]), "ntp"),
            (lambda d: d.update(ntp=["10.0.0.1:0"]), "ntp"),
            (lambda d: d.update(ntp=[":123"]), "ntp"),
            (lambda d: d.update(ntp=[7]), "ntp"),
            (lambda d: d.update(parameters=[{"id": 5, "label": "x", "unit": "y"}]), "id"),
        ):
            data = good()
            change(data)
            try:
                Config(data)
            except ConfigError as error:
                self.assertIn(word, str(error))
            else:
                self.fail("no error for " + word)

    def test_links_have_what_they_need(self):
        links = {
            "wifi": {"ssid": "ward", "key": 'correct "horse"'},
            "cellular": {"apn": "hospital", "user": "u", "key": "k"},
            "dns": ["10.0.0.2"],
        }
        data = good()
        data["links"] = links
        self.assertEqual(Config(data).links, links)
        self.assertEqual(Config(good()).links, {})

    def test_hosts_may_be_long_names(self):
        data = good()
        data["sites"][0]["host"] = "broker.intensive-care.hospital.example"
        self.assertEqual(Config(data).sites[0]["server_name"], data["sites"][0]["host"])

    def test_a_refused_key_is_not_repeated(self):
        for key in ("short", "secret" * 20, "sec\nret88"):
            data = good()
            data["links"] = {"wifi": {"ssid": "ward", "key": key}}
            with self.assertRaises(ConfigError) as caught:
                Config(data)
            self.assertNotIn("sec", str(caught.exception).replace("8 to 63", ""))
            self.assertNotIn("short", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
