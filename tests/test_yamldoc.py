"""YAML with places: what is refused, where, and what the readers make of the rest."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs import yamldoc
from ocs.errors import DocumentError
from ocs.marked import MAX_PROBLEMS, Mapping, Scalar


def problems(document):
    with pytest.raises(DocumentError) as refusal:
        document.check()
    return [
        (entry.line, entry.column, entry.message, entry.path) for entry in refusal.value.problems
    ]


def refused(text):
    """Line, column and message of the first mistake of a text, wherever it is found."""
    with pytest.raises(DocumentError) as refusal:
        yamldoc.parse(text, "file.yaml").check()
    first = refusal.value.problems[0]
    assert str(first).startswith("file.yaml")
    return first.line, first.column, first.message


@pytest.mark.parametrize(
    "text,line,column,words",
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "'a' is given twice; the first is in line 1"),
        ("x:\n  a: 1\n  a: 2\n", 3, 3, "twice"),
        ("a: &mark 1\n", 1, 4, "anchors"),
        ("a: *mark\n", 1, 4, "anchors"),
        ("a: !!int 1\n", 1, 4, "tags"),
        ("a: !!python/object:os.system {}\n", 1, 4, "tags"),
        ("<<: {a: 1}\n", 1, 1, "merge keys"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("- 1\n", 1, 1, "a list, not a group of keys"),
        ("text\n", 1, 1, "'text', not a group of keys"),
        ("a:\n\tb: 1\n", 2, 1, "a tab indents"),
        ("a: b: c\n", 1, 5, "needs quotes"),
        ("a: [1, 2\nb: 3\n", 2, 2, "is no YAML"),
        ("a: 'open\n", 2, 1, "is no YAML"),
        ("? [a]\n: 1\n", 1, 3, "a key must be a name"),
        ("~: 1\n", 1, 1, "a key must be a name"),
        ("a: \x07\n", 1, 4, "U+0007"),
        ('a: "\\a"\n', 1, 4, "control character"),
        ('a: "\\0"\n', 1, 4, "control character"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", 1, 35, "nested deeper than 32"),
        ("a: \ud800\n", 1, 4, "U+D800"),
    ],
)
def test_refused_with_its_place(text, line, column, words):
    found_line, found_column, message = refused(text)
    assert words in message
    assert (found_line, found_column) == (line, column)


def test_too_large_is_refused_before_it_is_read():
    assert refused("a: " + "x" * yamldoc.MAX_OCTETS)[2] == "is larger than 4194304 octets"
    assert refused("a: " + "é" * (yamldoc.MAX_OCTETS // 2))[2] == "is larger than 4194304 octets"


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(yamldoc, "MAX_NODES", 10)
    assert refused("a: [1,2,3,4,5,6,7,8,9]\n")[2] == "there are more than 10 values"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n", "\ufeff"])
def test_nothing_is_an_empty_group(text):
    document = yamldoc.parse(text, "file.yaml")
    document.check()
    assert document.root.entries == {}


@pytest.mark.parametrize("word", ["no", "on", "08:00", "010", "1e3", "0.10", "1_0.5", "2024-01-01"])
def test_scalars_stay_as_they_were_written(word):
    root = yamldoc.parse(f"a: {word}\n", "file.yaml").root
    assert root.text("a") == word


def test_readers_take_what_they_know():
    root = yamldoc.parse(
        "name: x\ncount: 1_000\nyes: true\nkind: b\nlist: [1, 2]\nempty:\ngroup: {a: 1}\n", "f"
    ).root
    assert root.text("name") == "x"
    assert root.integer("count", minimum=0, maximum=2000) == 1000
    assert root.boolean("yes", default=False) is True
    assert root.choice("kind", {"a": 1, "b": 2}) == 2
    assert [node.text for node in root.scalars("list")] == ["1", "2"]
    assert root.text("empty", "default") == "default"
    assert root.mapping("group").integer("a", minimum=0, maximum=9) == 1
    assert root.mapping("absent").integer("a", 5, minimum=0, maximum=9) == 5
    root.finish()
    root.document.check()


def test_every_mistake_is_collected_in_the_order_of_the_text():
    document = yamldoc.parse(
        "count: many\nflag: yes\nkind: bb\nnmae: x\ngroup: 5\nname: [1]\nrange: 11\nquoted: '5'\n",
        "f",
    )
    root = document.root
    root.text("name")
    root.mapping("group")
    root.integer("count", minimum=0, maximum=9)
    root.integer("range", minimum=0, maximum=9)
    root.integer("quoted", minimum=0, maximum=9)
    root.boolean("flag", default=False)
    root.choice("kind", {"aa": 1, "bbb": 2})
    root.text("absent")
    root.finish()
    assert problems(document) == [
        (1, 1, "'absent' is missing", ""),
        (1, 8, "'many' is not a whole number such as 100", "count"),
        (2, 7, "'yes' is neither true nor false; write true or false", "flag"),
        (3, 7, "'bb' is no kind; did you mean 'bbb'?", "kind"),
        (4, 1, "'nmae' is no key that is known here; did you mean 'name'?", "nmae"),
        (5, 8, "'group' is '5', but a group of keys is needed", "group"),
        (6, 7, "'name' is a list, but a single value is needed", "name"),
        (7, 8, "11 is out of range: 0 to 9", "range"),
        (8, 9, "'5' in quotes is not a whole number such as 100", "quoted"),
    ]


def test_path_names_keys_and_positions():
    document = yamldoc.parse("plans:\n  basic:\n    list:\n      - {a: 1}\n      - {a: x}\n", "f")
    basic = document.root.mapping("plans").mapping("basic")
    for entry in basic.mappings("list"):
        entry.integer("a", minimum=0, maximum=9)
    basic.text("name")
    assert problems(document) == [
        (2, 3, "'name' is missing", "plans.basic"),
        (5, 13, "'x' is not a whole number such as 100", "plans.basic.list[1].a"),
    ]


def test_a_flood_of_mistakes_is_counted():
    document = yamldoc.parse("".join(f"k{number}: 1\n" for number in range(MAX_PROBLEMS + 7)), "f")
    document.root.finish()
    found = problems(document)
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1][2] == "and 7 more mistakes"


def test_file_that_cannot_be_read_is_a_problem(tmp_path):
    def message(path):
        with pytest.raises(DocumentError) as refusal:
            yamldoc.read_text(path)
        return str(refusal.value)

    absent = tmp_path / "absent.yaml"
    assert message(absent) == f"{absent}: cannot be read: No such file or directory"
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: 1\nb: ñ\n".encode("latin-1"))
    assert message(latin) == f"{latin}:2:4: is not UTF-8 text"
    large = tmp_path / "large.yaml"
    large.write_bytes(b"x" * (yamldoc.MAX_OCTETS + 1))
    assert message(large) == f"{large}: is larger than 4194304 octets"


def walk(node):
    if isinstance(node, Scalar):
        assert "\x00" not in node.text
    elif isinstance(node, Mapping):
        for key, value in node.members():
            assert value.line >= key.line >= 1
            walk(value)


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab:- \n\t'\"[]{},#&*!|>%@`?~0.<\\x"), max_size=60) | st.text()
)
def test_any_text_is_read_or_refused(text):
    with suppress(DocumentError):
        document = yamldoc.parse(text, "f")
        walk(document.root)
        document.check()


@given(content=st.binary(max_size=200))
def test_any_octets_are_read_or_refused(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "octets.yaml"
    path.write_bytes(content)
    with suppress(DocumentError):
        yamldoc.parse(yamldoc.read_text(path), "f").check()
