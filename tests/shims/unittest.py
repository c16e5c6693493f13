"""A small unittest for MicroPython, which has none; CPython uses its own.

Only what the core's tests need. Names, arguments and the last line of the report are those of
CPython's module, so that a test file cannot tell the difference.
"""

# ruff: noqa: UP031  MicroPython's Python

import sys


class SkipTest(Exception):
    """This test does not apply here."""


class _Raises:
    def __init__(self, test, wanted):
        self._test = test
        self._wanted = wanted
        self.exception = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self._test.fail("%s was not raised" % _names(self._wanted))
        self.exception = error
        return issubclass(kind, self._wanted)


class _SubTest:
    def __init__(self, result, label):
        self._result = result
        self._label = label

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None or issubclass(kind, SkipTest):
            return kind is not None
        if not issubclass(kind, Exception):
            return False
        self._result.add(self._label, error)
        return True


def _names(kinds):
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    return " or ".join(kind.__name__ for kind in kinds)


class TestCase:
    """Each method that starts with `test` runs on an object of its own."""

    def __init__(self, method="runTest"):
        self._method = method
        self._result = Result()
        self._cleanups = []

    def setUp(self):
        pass

    def tearDown(self):
        pass

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def addCleanup(self, function, *arguments, **keywords):
        self._cleanups.append((function, arguments, keywords))

    def fail(self, message=None):
        raise AssertionError(message)

    def skipTest(self, reason):
        raise SkipTest(reason)

    def subTest(self, *message, **values):
        words = [str(part) for part in message]
        words += ["%s=%r" % (name, values[name]) for name in sorted(values)]
        return _SubTest(self._result, "%s (%s)" % (self._method, ", ".join(words)))

    def assertRaises(self, wanted, *call, **keywords):
        context = _Raises(self, wanted)
        if not call:
            return context
        with context:
            call[0](*call[1:], **keywords)
        return None

    def assertTrue(self, value, message=None):
        self._check(value, "%r is not true" % (value,), message)

    def assertFalse(self, value, message=None):
        self._check(not value, "%r is not false" % (value,), message)

    def assertIsNone(self, value, message=None):
        self._check(value is None, "%r is not None" % (value,), message)

    def assertIsNotNone(self, value, message=None):
        self._check(value is not None, "unexpectedly None", message)

    def assertEqual(self, first, second, message=None):
        self._compare(first == second, first, "!=", second, message)

    def assertNotEqual(self, first, second, message=None):
        self._compare(first != second, first, "==", second, message)

    def assertIs(self, first, second, message=None):
        self._compare(first is second, first, "is not", second, message)

    def assertIsNot(self, first, second, message=None):
        self._compare(first is not second, first, "is", second, message)

    def assertIn(self, member, container, message=None):
        self._compare(member in container, member, "not in", container, message)

    def assertNotIn(self, member, container, message=None):
        self._compare(member not in container, member, "in", container, message)

    def assertIsInstance(self, value, kinds, message=None):
        self._compare(isinstance(value, kinds), value, "is no", _names(kinds), message)

    def assertGreater(self, first, second, message=None):
        self._compare(first > second, first, "<=", second, message)

    def assertGreaterEqual(self, first, second, message=None):
        self._compare(first >= second, first, "<", second, message)

    def assertLess(self, first, second, message=None):
        self._compare(first < second, first, ">=", second, message)

    def assertLessEqual(self, first, second, message=None):
        self._compare(first <= second, first, ">", second, message)

    def assertAlmostEqual(self, first, second, places=7, message=None, delta=None):
        limit = 0.5 * 10**-places if delta is None else delta
        equal = first == second or abs(first - second) <= limit
        self._compare(equal, first, "!~", second, message)

    def _check(self, holds, text, message):
        if not holds:
            self.fail(text if message is None else "%s : %s" % (text, message))

    def _compare(self, holds, first, relation, second, message):
        if not holds:
            self._check(False, "%r %s %r" % (first, relation, second), message)

    def _run(self, result):
        """Run one method, with what comes before and after it."""
        self._result = result
        try:
            self.setUp()
            try:
                getattr(self, self._method)()
            finally:
                self.tearDown()
        finally:
            while self._cleanups:
                function, arguments, keywords = self._cleanups.pop()
                function(*arguments, **keywords)


def skip(reason):
    """Mark a class or a function as not for here, and say why."""

    def mark(item):
        if isinstance(item, type):
            item._skipped = reason
            return item

        def skipped(*arguments):
            raise SkipTest(reason)

        return skipped

    return mark


def skipIf(condition, reason):
    return skip(reason) if condition else lambda item: item


def skipUnless(condition, reason):
    return skipIf(not condition, reason)


class Result:
    """Counts, and the errors with where they happened."""

    def __init__(self):
        self.run = 0
        self.skipped = 0
        self.failures = []

    def add(self, label, error):
        print("FAIL: %s" % label)
        sys.print_exception(error)
        self.failures.append(label)


def _run_class(case, result):
    names = sorted(name for name in dir(case) if name.startswith("test"))
    skipped = getattr(case, "_skipped", None)
    if skipped is not None:
        print("skipped %s: %s" % (case.__name__, skipped))
        result.run += len(names)
        result.skipped += len(names)
        return
    case.setUpClass()
    for name in names:
        label = "%s.%s" % (case.__name__, name)
        result.run += 1
        try:
            case(name)._run(result)
        except SkipTest as reason:
            print("skipped %s: %s" % (label, reason))
            result.skipped += 1
        except Exception as error:
            result.add(label, error)
    case.tearDownClass()


def main(module="__main__"):
    """Run every TestCase of a module, report, and end the process with 1 if one failed."""
    names = __import__(module).__dict__
    result = Result()
    for name in sorted(names):
        case = names[name]
        if isinstance(case, type) and issubclass(case, TestCase) and case is not TestCase:
            _run_class(case, result)
    print("Ran %d tests" % result.run)
    if result.failures:
        print("FAILED (failures=%d, skipped=%d)" % (len(result.failures), result.skipped))
    else:
        print("OK (skipped=%d)" % result.skipped)
    sys.exit(1 if result.failures else 0)
