"""What the words in a workbook's cells mean: categories, departments, areas, channels, by code or by name.

Pure once loaded; knows no table's form. Whatever cannot be told is refused with what it may have been.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from gis.catalogue import Catalogue, Category
from gis.db import Connection
from gis.routing import ANY
from gis.rulebook import Rulebook
from gis.tables import department, division, duty_grid, unit_grid
from gis.validity import in_force

KINDS: Mapping[str, str] = {"部件": "component", "事件": "event", "component": "component", "event": "event"}
KIND_WORDS: Mapping[str, str] = {"component": "部件", "event": "事件"}
CHANNEL_WORDS: Mapping[str, str] = {
    "patrol": "巡查",
    "public": "公众",
    "hotline": "热线",
    "video": "视频",
    "superior": "上级平台",
    "sensor": "感知设备",
    "leader": "领导交办",
}
_CHANNELS = {word: code for code, word in CHANNEL_WORDS.items()} | {
    **{code: code for code in CHANNEL_WORDS},
    **{"巡查上报": "patrol", "监督员": "patrol", "网格员": "patrol", "公众上报": "public", "市民": "public"},
    **{"12345": "hotline", "12345热线": "hotline", "视频巡查": "video", "感知": "sensor", "领导": "leader"},
}
TARGET_WORDS: Mapping[str, str] = {
    "@competent": "主管单位",
    "@owner": "权属单位",
    "@maintenance": "养护单位",
    "@village": "属地村居",
}
_TARGETS = {word: code for code, word in TARGET_WORDS.items()} | {
    **{code: code for code in TARGET_WORDS},
    **{"主管部门": "@competent", "产权单位": "@owner", "属地": "@village", "所在村": "@village", "属地村": "@village"},
}
_EVERY = {"", ANY, "全部", "所有", "不限", "全镇", "全域", "全部类别", "全部区域", "全部来源"}


class NotKnown(Exception):
    """A text that means nothing here, or more than one thing. ``zh`` and ``en`` say which."""

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.code, self.zh, self.en = code, zh, en


def plain(text: str) -> str:
    """A text as it is compared: without spaces and full-width forms."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def digits(text: str, width: int) -> str:
    """A code that Excel made a number, with the zeros it lost; other texts as they are."""
    short = plain(text)
    return short.zfill(width) if re.fullmatch(rf"\d{{1,{width}}}", short, re.ASCII) else short


@dataclass(frozen=True)
class Names:
    """Everything a cell may name. ``areas`` are rules' areas (``village:…``) by the names people write."""

    catalogue: Catalogue
    departments: Mapping[str, str]
    workflows: Mapping[str, str]
    areas: Mapping[str, str]
    villages: Mapping[str, str]
    grids: frozenset[str]
    _by_name: Mapping[str, tuple[Category, ...]] = field(init=False, repr=False)
    _department_of: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_name: dict[str, tuple[Category, ...]] = {}
        for category in self.catalogue:
            name = plain(category.name)
            by_name[name] = (*by_name.get(name, ()), category)
        object.__setattr__(self, "_by_name", by_name)
        of: dict[str, tuple[str, ...]] = {}
        for code, name in self.departments.items():
            of[plain(name)] = (*of.get(plain(name), ()), code)
        object.__setattr__(self, "_department_of", of)

    @classmethod
    def load(cls, tx: Connection, book: Rulebook) -> "Names":
        """The names in force now."""
        rows = tx.execute(select(department.c.code, department.c.name).where(department.c.active)).all()
        found: dict[str, str] = {}
        villages = {}
        for row in tx.execute(
            select(division.c.code, division.c.name, division.c.short_name).where(
                division.c.level == "village", division.c.valid_to.is_(None)
            )
        ):
            villages[row.code] = row.short_name
            for form in (row.code, row.name, row.short_name):
                found[plain(form)] = f"village:{row.code}"
        for code, name in tx.execute(select(duty_grid.c.code, duty_grid.c.name).where(in_force(duty_grid))):
            found[plain(code)] = f"duty:{code}"
            found.setdefault(plain(name), f"duty:{code}")
        grids = tx.execute(select(unit_grid.c.code).where(in_force(unit_grid))).scalars()
        flows = {code: str(flow.name.get("zh", code)) for code, flow in book.workflows.items()}
        return cls(
            book.catalogues[book.town_catalogue],
            {row.code: row.name for row in rows},
            flows,
            found,
            villages,
            frozenset(grids),
        )

    def kind(self, text: str) -> str:
        """component or event; '' where nothing is said. Raises ``NotKnown``."""
        word = plain(text).removesuffix("类").lower()
        if word and word not in KINDS:
            raise NotKnown("malformed", f"“{text}”不是部件或事件", f"{text} is neither component nor event")
        return KINDS[word] if word else ""

    def category(self, kind: str, code: str, name: str) -> Category:
        """The category of a 4-digit code and a name, of which one may be '', as may ``kind``. Raises ``NotKnown``."""
        if code:
            known = [
                found for each in ([kind] if kind else KINDS.values()) if (found := self.catalogue.find(each, code))
            ]
            known = list(dict.fromkeys(known))
            if not known:
                raise NotKnown("category_unknown", f"没有小类代码 {code}", f"no category {code}")
            meant = [c for c in known if not name or plain(c.name) == plain(name)]
            if not meant:
                told = "、".join(f"{KIND_WORDS[c.kind]} {c.code} {c.name}" for c in known)
                raise NotKnown(
                    "category_mismatch", f"代码 {code} 是“{told}”，不是“{name}”", f"{code} is {told}, not {name}"
                )
        else:
            meant = [c for c in self._by_name.get(plain(name), ()) if not kind or c.kind == kind]
            if not meant:
                raise NotKnown("category_unknown", f"没有小类“{name}”", f"no category named {name}")
        if len(meant) > 1:
            told = "、".join(f"{KIND_WORDS[c.kind]} {c.code} {c.name}" for c in meant)
            raise NotKnown("category_ambiguous", f"可能是 {told}，请写明部件或事件", f"may be {told}: say which kind")
        return meant[0]

    def category_prefix(self, text: str, kind: str = "") -> str:
        """A rule's category: *, a kind, a group or a category, by code or name. Raises ``NotKnown``."""
        word = plain(text)
        if word in _EVERY:
            return kind or ANY
        found = re.fullmatch(r"(部件|事件|component|event)?类?:?(\d{2}|\d{4})?", word)
        if found:
            kind = KINDS.get(found[1] or "", kind)
            code = found[2] or ""
            if not code:
                return kind
            kinds = [kind] if kind else ["component", "event"]
            fits = [f"{each}:{code}" for each in kinds if self._has(each, code)]
        else:
            fits = [f"{c.kind}:{c.code}" for c in self._by_name.get(word, ()) if not kind or c.kind == kind]
            fits += [
                f"{group.kind}:{group.code}"
                for group in self.catalogue.groups
                if plain(group.name) == word and (not kind or group.kind == kind)
            ]
        if not fits:
            raise NotKnown("category_unknown", f"没有类别“{text}”", f"no category {text}")
        if len(fits) > 1:
            raise NotKnown(
                "category_ambiguous", f"“{text}”可能是 {'、'.join(fits)}", f"{text} may be {', '.join(fits)}"
            )
        return fits[0]

    def _has(self, kind: str, code: str) -> bool:
        if len(code) == 4:
            return self.catalogue.find(kind, code) is not None
        return any((group.kind, group.code) == (kind, code) for group in self.catalogue.groups)

    def category_name(self, category: str) -> str:
        """What people call a rule's category; '' for a kind or all."""
        kind, _, code = category.partition(":")
        if len(code) == 4:
            found = self.catalogue.find(kind, code)
            return found.name if found else ""
        return next((g.name for g in self.catalogue.groups if (g.kind, g.code) == (kind, code)), "")

    def department(self, text: str, *, targets: bool = True) -> str:
        """A department's code, or what stands for a unit of the component. Raises ``NotKnown``."""
        word = plain(text)
        if targets and word in _TARGETS:
            return _TARGETS[word]
        first = re.split(r"\s", text.strip(), maxsplit=1)[0]
        if word in self.departments or first in self.departments:
            return word if word in self.departments else first
        codes = self._department_of.get(word, ())
        if not codes:
            raise NotKnown("department_unknown", f"没有部门“{text}”", f"no department {text}")
        if len(codes) > 1:
            raise NotKnown(
                "department_unknown", f"“{text}”有 {len(codes)} 个部门，请写代码", f"{text} is the name of several"
            )
        return codes[0]

    def departments_of(self, text: str) -> list[str]:
        """Several departments, parted by commas, semicolons or lines. Raises ``NotKnown``."""
        words = (word.strip() for word in re.split(r"[,，、;；\n/]", text))
        return list(dict.fromkeys(self.department(word) for word in words if word))

    def area(self, text: str) -> str:
        """A rule's area. Raises ``NotKnown``."""
        word = plain(text)
        if word in _EVERY:
            return ANY
        level, _, code = word.rpartition(":")
        if found := re.fullmatch(r"(?:class:)?([ABCabc])(?:类|类区|类区域|类区域)?", word):
            return f"class:{found[1].upper()}"
        if level in ("", "grid") and code in self.grids:
            return f"grid:{code}"
        if code in self.areas and (not level or self.areas[code].startswith(f"{level}:")):
            return self.areas[code]
        raise NotKnown("area_unknown", f"没有区域“{text}”", f"no area {text}")

    def channel(self, text: str) -> str:
        """A channel, or * for all. Raises ``NotKnown``."""
        word = plain(text)
        if word in _EVERY:
            return ANY
        if word not in _CHANNELS:
            raise NotKnown("malformed", f"没有来源“{text}”", f"no channel {text}")
        return _CHANNELS[word]

    def workflow(self, text: str) -> str:
        """A workflow's code; '' where nothing is said. Raises ``NotKnown``."""
        word = plain(text)
        if not word or word in self.workflows:
            return word
        fits = [code for code, name in self.workflows.items() if plain(name) == word]
        if len(fits) != 1:
            raise NotKnown("definition_unknown", f"没有流程“{text}”", f"no workflow {text}")
        return fits[0]

    def words_of(self, departments: Iterable[str]) -> str:
        """Departments as people write them."""
        return "、".join(self.word_of(code) for code in departments)

    def word_of(self, code: str) -> str:
        """A department's name where it tells it from the others, else its code."""
        name = self.departments.get(code, "")
        if code in TARGET_WORDS:
            return TARGET_WORDS[code]
        return name if name and len(self._department_of.get(plain(name), ())) == 1 else code
