"""What simulated people report, decide and write, and how long they take. Pure: draws from a given random generator.

Used by the live simulator, which plays people through the public API, and by the demo's made-up past. The texts say
nothing of real places or persons, and every case made from them is marked as simulated.
"""

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from PIL import Image, ImageDraw

#: How much more often than others a class is reported, by a word in its name.
COMMON = {
    "暴露垃圾": 14.0,
    "机动车乱停": 12.0,
    "店外经营": 9.0,
    "游商": 9.0,
    "小广告": 8.0,
    "堆物堆料": 8.0,
    "渣土": 6.0,
    "道路不洁": 6.0,
    "道路破损": 6.0,
    "绿地脏乱": 5.0,
    "沿街晾挂": 4.0,
    "露天烧烤": 3.0,
    "道路遗撒": 3.0,
    "工地扬尘": 3.0,
    "占道": 3.0,
    "雨水": 6.0,
    "污水井盖": 5.0,
    "路灯": 6.0,
    "垃圾箱": 5.0,
    "行道树": 4.0,
    "护栏": 3.0,
    "交通标志": 3.0,
    "健身": 2.0,
    "公交站亭": 2.0,
    "公共厕所": 2.0,
}
_FAULTS = ("破损", "缺失", "松动", "倾斜", "有异响", "被遮挡", "锈蚀严重", "周边沉降")
_WHERE = ("路口东侧", "路口西侧", "便道上", "小区门口", "公交站旁", "学校附近", "市场门前", "河边步道", "停车场入口")
_ASKS = ("，请尽快处理", "，影响通行", "，存在安全隐患", "，已多日未清理", "，居民多次反映", "")

#: Relative frequency of what people do where several things can be done.
HABITS = {
    "accept": 90.0,
    "verify": 12.0,
    "void": 4.0,
    "verify_true": 85.0,
    "verify_false": 15.0,
    "file": 92.0,
    "return": 4.0,
    "dispatch": 96.0,
    "return_filing": 3.0,
    "handle": 93.0,
    "decline": 5.0,
    "reassign": 0.0,
    "check_pass": 91.0,
    "check_fail": 9.0,
    "close": 97.0,
    "rework": 2.0,
    "return_dispatch": 2.0,
    "convert": 4.0,
    "ask_extension": 2.0,
    "agree_extension": 80.0,
    "approve_extension": 80.0,
    "refuse_extension": 15.0,
    "ask_suspension": 0.7,
    "approve_suspension": 80.0,
    "refuse_suspension": 15.0,
    "begin_special": 1.0,
    "end_special": 95.0,
    "urge": 1.2,
    "answer_urge": 60.0,
    "supervise": 0.3,
    "answer_supervise": 60.0,
    "assist_done": 90.0,
    # The hotline's orders.
    "send_back": 1.0,
    "sign": 96.0,
    "contact": 96.0,
    "pass_answer": 92.0,
    "return_answer": 5.0,
    "call_back": 86.0,
    "unreachable": 6.0,
    "reopen": 5.0,
    # Whistles.
    "arrive": 96.0,
    "begin": 51.0,
    "conclude": 95.0,
    "score": 96.0,
    # What takes a decision of its own is left to those who play it; what runs out by itself does.
    **dict.fromkeys(("ask_supplement", "merge", "follow", "tag", "forward_closing", "force_close", "appeal"), 0.0),
    **dict.fromkeys(("add_assist", "add_summon", "wake", "hand_in"), 0.0),
}
#: Median time a case waits in a state and how wide it spreads (sigma of the logarithm).
PACE: dict[str, tuple[timedelta, float]] = {
    "reported": (timedelta(minutes=5), 0.7),
    "verifying": (timedelta(minutes=18), 0.5),
    "accepted": (timedelta(minutes=6), 0.6),
    "filed": (timedelta(minutes=6), 0.6),
    "handling": (timedelta(hours=3), 1.1),
    "handled": (timedelta(minutes=22), 0.5),
    "checked": (timedelta(minutes=12), 0.5),
    "reviewing": (timedelta(minutes=25), 0.6),
    "declined": (timedelta(minutes=12), 0.6),
    "dispatched": (timedelta(minutes=25), 0.7),
    "signed": (timedelta(minutes=40), 0.7),
    "special": (timedelta(hours=20), 0.6),
    "calling": (timedelta(hours=2), 0.7),
    "summoned": (timedelta(minutes=35), 0.5),
    "concluding": (timedelta(hours=2), 0.7),
    "scoring": (timedelta(hours=3), 0.8),
}
#: Share of cases that stay lying.
FORGOTTEN = 0.008
_TEXTS = {
    "result": ("已清理完毕", "已修复并恢复使用", "已现场整改，恢复原状", "已更换部件，运行正常", "已劝离并清理现场"),
    "note": ("请按时限处置", "请核实后处置", ""),
    "decline": ("不属本部门职责范围", "权属单位有误，请重新派遣"),
    "check_fail": ("现场仍有残留", "修复不彻底", "照片与现场不符"),
    "verify_false": ("现场未发现所述问题", "问题已自行消除"),
    "void": ("重复上报", "不属受理范围", "信息不全且无法联系上报人"),
    "return": ("位置描述不清，请补充", "类别有误，请重新选择"),
    "ask_extension": ("配件采购需要时间", "连日降雨无法施工", "需协调占路手续"),
    "ask_suspension": ("列入下季度改造计划", "等待供货"),
    "begin_special": ("送检待结果", "需现场勘测"),
    "urge": ("临近时限，请加快处置", "市民多次来电，请尽快办理"),
    "supervise": ("请主要负责人督促，限期办结并回执",),
    "answer": ("已安排人员到场", "正在施工，今日完成", "配件已到，正在更换"),
    "contact": ("已电话联系来电人，说明办理安排", "来电人反映情况与工单一致"),
    "people": ("执法队员两人到场", "负责人带队三人到场"),
    "conclusion": ("现场联合整治完毕，安排专人值守", "明确责任分工，限三日内完成整改"),
}


@dataclass(frozen=True)
class Step:
    """What somebody chose to do."""

    action: str
    payload: dict[str, Any]


def weight(name: str) -> float:
    """How often a class of this name is reported, 1 being the ordinary."""
    return max((w for word, w in COMMON.items() if word in name), default=1.0)


def pick(chance: Random, names: Sequence[str]) -> int:
    """The position of a class drawn by how common its name is."""
    return chance.choices(range(len(names)), [weight(name) for name in names])[0]


def description(chance: Random, name: str, kind: str) -> str:
    """What a reporter writes of a component (its name) or an event (its class)."""
    fault = chance.choice(_FAULTS) if kind == "component" else ""
    return f"（模拟）{chance.choice(_WHERE)}{name}{fault}{chance.choice(_ASKS)}"


def severity(chance: Random) -> int:
    """1 normal, 2 serious, 3 urgent."""
    return chance.choices((1, 2, 3), (88, 10, 2))[0]


def wait(chance: Random, state: str) -> timedelta:
    """How long a case waits in a state before somebody acts: log-normal, so a few wait far too long."""
    median, spread = PACE.get(state, (timedelta(minutes=10), 0.6))
    return median * chance.lognormvariate(0.0, spread)


def usual(action: str) -> bool:
    """Whether an action is what people are there for, not a detour."""
    return HABITS.get(action, 100.0) > 50


def forgotten(number: str) -> bool:
    """Whether a case of this number is one of the few that nobody gets round to handling."""
    return Random(f"forgotten/{number}").random() < FORGOTTEN


def decide(
    chance: Random,
    actions: Sequence[Mapping[str, Any]],
    departments: Collection[str],
    photos: Sequence[str] = (),
    conditions: Sequence[str] = (),
    now: datetime | None = None,
) -> Step | None:
    """One of the available actions (``action`` code and ``fields``), by habit, with its fields filled in.

    Fields are filled by type; of the optional ones the department stays as proposed and photos are given when there
    are any. ``conditions`` are the codes a case of this class may be closed by, ``departments`` those to be moved to
    or scored, ``now`` is when it is decided. None when there is nothing one would do: who may only send back, end or
    move a case leaves it to others.
    """
    actions = [a for a in actions if not a.get("blocked") and HABITS.get(a["action"], 5.0) > 0]
    if not any(usual(a["action"]) for a in actions):
        return None
    weights = [HABITS.get(a["action"], 5.0) for a in actions]
    action = chance.choices(list(actions), weights)[0]
    code = action["action"]
    payload: dict[str, Any] = {}
    for field in action["fields"]:
        value: Any = None
        if field["type"] == "text":
            texts = _TEXTS.get(field["name"]) or _TEXTS.get(code) or ("按规定办理",)
            value = chance.choice([text for text in texts if text or not field["required"]])
        elif field["type"] == "photo":
            value = list(photos)
        elif field["type"] == "choice":
            # What is written first is what mostly happens.
            value = chance.choices(field["choices"], [0.3**n for n in range(len(field["choices"]))])[0]
        elif field["type"] == "date" and field["required"]:
            value = ((now or datetime.now(UTC)) + timedelta(days=chance.randint(2, 15))).date().isoformat()
        elif field["type"] == "scores" and departments:
            value = {code: chance.choices((5, 4, 3, 2), (6, 3, 2, 1))[0] for code in departments}
        elif field["type"] == "closing_condition" and conditions:
            value = conditions[0]
        elif field["type"] == "number":
            value = 1
        elif field["type"] == "department" and field["required"] and departments:
            value = chance.choice(sorted(departments))
        if value:
            payload[field["name"]] = value
    return Step(code, payload)


def picture(chance: Random) -> bytes:
    """A small JPEG that says it is simulated."""
    size, colour = (320, 240), tuple(chance.randrange(60, 200) for _ in range(3))
    image = Image.new("RGB", size, colour)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        shade = tuple(chance.randrange(40, 220) for _ in range(3))
        draw.ellipse((x, y, x + chance.randrange(20, 120), y + chance.randrange(20, 90)), fill=shade)
    draw.text((12, 12), f"SIMULATED\n{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", fill="white")
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=70)
    return kept.getvalue()
