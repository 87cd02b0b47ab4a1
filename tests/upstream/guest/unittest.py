# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of unittest as upstream's tests use; its own is not in the source package.

The summary has the form that upstream's run-tests.py looks for.
"""

import sys


class SkipTest(Exception):
    pass


class _Raises:
    def __init__(self, expected):
        self.expected = expected
        self.exception = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            raise AssertionError(f"{self.expected} not raised")
        self.exception = value
        return issubclass(kind, self.expected)


class TestCase:
    def setUp(self):
        pass

    def tearDown(self):
        pass

    def skipTest(self, reason):
        raise SkipTest(reason)

    def assertEqual(self, a, b, msg=None):
        assert a == b, msg or f"{a!r} != {b!r}"

    def assertNotEqual(self, a, b, msg=None):
        assert a != b, msg or f"{a!r} == {b!r}"

    def assertTrue(self, a, msg=None):
        assert a, msg or f"{a!r} is not true"

    def assertFalse(self, a, msg=None):
        assert not a, msg or f"{a!r} is not false"

    def assertIs(self, a, b, msg=None):
        assert a is b, msg or f"{a!r} is not {b!r}"

    def assertIsNone(self, a, msg=None):
        assert a is None, msg or f"{a!r} is not None"

    def assertIn(self, a, b, msg=None):
        assert a in b, msg or f"{a!r} not in {b!r}"

    def assertIsInstance(self, a, b, msg=None):
        assert isinstance(a, b), msg or f"{a!r} is no {b!r}"

    def assertRaises(self, expected, function=None, *args, **kwargs):
        context = _Raises(expected)
        if function is None:
            return context
        with context:
            function(*args, **kwargs)


def main():
    ran = failures = errors = skipped = 0
    module = __import__("__main__")
    for name in dir(module):
        case = getattr(module, name)
        if not isinstance(case, type) or not issubclass(case, TestCase) or case is TestCase:
            continue
        for method in dir(case):
            if not method.startswith("test"):
                continue
            ran += 1
            print(f"{method} ({name}) ...")
            test = case()
            try:
                test.setUp()
                try:
                    getattr(test, method)()
                finally:
                    test.tearDown()
            except SkipTest:
                skipped += 1
            except AssertionError as e:
                failures += 1
                sys.print_exception(e)
            except Exception as e:
                errors += 1
                sys.print_exception(e)
    print("-" * 70)
    print(f"Ran {ran} tests\n")
    if failures or errors:
        print(f"FAILED (failures={failures}, errors={errors})")
    elif skipped:
        print(f"OK (skipped={skipped})")
    else:
        print("OK")
