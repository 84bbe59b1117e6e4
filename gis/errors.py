"""The catalogue of refusals. A refusal has a stable code, a status, and its words in Chinese and English."""

from typing import Any, ClassVar


class Problem(Exception):
    """Anything refused. Rendered by the API as an RFC 9457 problem with ``code``, ``title`` (zh) and ``title_en``.

    ``detail`` carries the facts of this one occurrence (JSON-serialisable values only).
    """

    code: ClassVar[str] = "problem"
    status: ClassVar[int] = 400
    zh: ClassVar[str] = "请求有误"
    en: ClassVar[str] = "The request was refused"

    def __init__(self, zh: str | None = None, en: str | None = None, **detail: Any) -> None:
        self.title_zh = zh or self.zh
        self.title_en = en or self.en
        self.detail = detail
        super().__init__(f"{self.code}: {self.title_en} {detail or ''}".strip())

    def body(self) -> dict[str, Any]:
        """The RFC 9457 body: ``type, status, code, title, title_en, detail``."""
        return {
            "type": f"urn:wangge:problem:{self.code}",
            "status": self.status,
            "code": self.code,
            "title": self.title_zh,
            "title_en": self.title_en,
            "detail": self.detail,
        }


def _problem(name: str, code: str, status: int, zh: str, en: str) -> type[Problem]:
    return type(
        name, (Problem,), {"code": code, "status": status, "zh": zh, "en": en, "__doc__": en, "__module__": __name__}
    )


# Access
NotAuthenticated = _problem("NotAuthenticated", "not_authenticated", 401, "请先登录", "Sign in first")
BadLogin = _problem("BadLogin", "bad_login", 401, "用户名或密码不对", "Wrong user name or password")
LoginLocked = _problem(
    "LoginLocked", "login_locked", 429, "登录失败次数过多，请稍后再试", "Too many failed logins; try later"
)
UsernameTaken = _problem("UsernameTaken", "username_taken", 409, "用户名已被使用", "The user name is taken")
PasswordShort = _problem("PasswordShort", "password_short", 422, "密码过短", "The password is too short")
Forbidden = _problem("Forbidden", "forbidden", 403, "没有权限", "You lack the right to do this")
CrossSite = _problem("CrossSite", "cross_site", 403, "拒绝跨站请求", "Cross-site requests are refused")
TooManyRequests = _problem("TooManyRequests", "too_many_requests", 429, "请求过于频繁", "Too many requests")

# Form of the request
Malformed = _problem("Malformed", "malformed", 422, "请求格式不对", "The request is malformed")
UploadTooLarge = _problem("UploadTooLarge", "upload_too_large", 413, "上传文件过大", "The upload is too large")
MethodNotAllowed = _problem(
    "MethodNotAllowed", "method_not_allowed", 405, "不支持这种请求方法", "The method is not allowed here"
)
NotFound = _problem("NotFound", "not_found", 404, "没有找到", "Not found")
CaseNotFound = _problem("CaseNotFound", "case_not_found", 404, "没有这个案件", "No such case")
BadCursor = _problem("BadCursor", "bad_cursor", 400, "翻页位置无效", "The paging cursor is not valid")
TooManyKept = _problem(
    "TooManyKept", "too_many_kept", 422, "保存的内容过多，请先删除一些", "Too many are kept: delete some first"
)
TooManyTokens = _problem(
    "TooManyTokens", "too_many_tokens", 422, "有效令牌过多，请先吊销不用的", "Too many tokens live: revoke some first"
)
ExportTooLarge = _problem(
    "ExportTooLarge",
    "export_too_large",
    422,
    "导出的案件过多，请缩小筛选",
    "Too many cases to export: narrow the filter",
)
NotBulk = _problem("NotBulk", "not_bulk", 422, "这个操作只能逐件办理", "This action is taken one case at a time")
BadFilter = _problem("BadFilter", "bad_filter", 400, "筛选条件无效", "The filter is not valid")

# Place
OutsideTown = _problem("OutsideTown", "outside_town", 422, "位置不在本镇范围内", "The place is outside the town")
NullIsland = _problem("NullIsland", "null_island", 422, "坐标为空或为 (0,0)", "The coordinates are missing or (0,0)")
SwappedAxes = _problem("SwappedAxes", "swapped_axes", 422, "经纬度疑似颠倒", "Longitude and latitude look swapped")
WrongCrs = _problem(
    "WrongCrs", "wrong_crs", 422, "坐标系声明有误", "The declared coordinate system does not fit the coordinates"
)
UnknownCrs = _problem("UnknownCrs", "unknown_crs", 422, "不支持的坐标系", "The coordinate system is not supported")
BadGeometry = _problem("BadGeometry", "bad_geometry", 422, "图形无效", "The geometry is not valid")
GridOverlap = _problem("GridOverlap", "grid_overlap", 422, "单元网格重叠", "Unit grids overlap")
GridGap = _problem("GridGap", "grid_gap", 422, "单元网格之间有缝隙", "There are gaps between unit grids")
NotCovered = _problem("NotCovered", "not_covered", 422, "位置没有对应的单元网格", "No unit grid covers the place")
FixTime = _problem("FixTime", "fix_time", 422, "定位时间不可信", "The time of the fix is not plausible")
ClockOff = _problem(
    "ClockOff", "clock_off", 422, "手机时钟差得太远，无法校正", "The device's clock is too far off to be put right"
)
FixRefused = _problem("FixRefused", "fix_refused", 422, "数据库拒收这个定位", "The database refused the fix")

# Tracks
ReasonUnknown = _problem(
    "ReasonUnknown", "reason_unknown", 422, "查看足迹须注明事由", "A look at somebody's track needs one of the reasons"
)
TrackCoarse = _problem(
    "TrackCoarse", "track_coarse", 422, "这一天的足迹只剩粗略位置", "Of that day only coarse places are left"
)
SpanRefused = _problem("SpanRefused", "span_refused", 422, "时间范围不在允许范围内", "The span of time is not allowed")
GpxBad = _problem("GpxBad", "gpx_bad", 422, "GPX 文件无法读取", "The GPX file cannot be read")

# Codes
CategoryUnknown = _problem("CategoryUnknown", "category_unknown", 422, "没有这个类别代码", "Unknown category code")
CategoryAmbiguous = _problem(
    "CategoryAmbiguous",
    "category_ambiguous",
    422,
    "类别代码有歧义，请注明分类目录和部件/事件",
    "Ambiguous category code: name its catalogue and kind",
)
CategoryOff = _problem(
    "CategoryOff", "category_off", 422, "该类别已停用，不再受理新案件", "This category takes no new cases"
)
CategoryMismatch = _problem(
    "CategoryMismatch", "category_mismatch", 422, "类别代码与名称不符", "Category code and name disagree"
)
ConditionUnknown = _problem(
    "ConditionUnknown", "condition_unknown", 422, "立案标准中没有这个条件", "The filing standard has no such condition"
)
ComponentUnknown = _problem("ComponentUnknown", "component_unknown", 422, "没有这个部件", "No such component")
ComponentDuplicate = _problem(
    "ComponentDuplicate", "component_duplicate", 422, "部件标识码重复", "Duplicate component code"
)
ComponentCodeBad = _problem(
    "ComponentCodeBad", "component_code_bad", 422, "部件标识码不合规", "The component code breaks the coding rule"
)
DepartmentUnknown = _problem("DepartmentUnknown", "department_unknown", 422, "没有这个部门", "No such department")

# Flow
ActionUnknown = _problem(
    "ActionUnknown", "action_unknown", 422, "流程中没有这个操作", "The workflow has no such action"
)
StateForbids = _problem(
    "StateForbids", "state_forbids", 409, "当前环节不允许这个操作", "The case's state does not allow this action"
)
RoleForbids = _problem("RoleForbids", "role_forbids", 403, "您的角色不能做这个操作", "Your role may not do this")
FieldMissing = _problem("FieldMissing", "field_missing", 422, "缺少必填内容", "A required field is missing")
GuardRefuses = _problem(
    "GuardRefuses", "guard_refuses", 422, "不满足操作条件", "The condition of the action is not met"
)
NoTask = _problem("NoTask", "no_task", 409, "您没有这项待办任务", "You have no such open task")
StaffUnknown = _problem("StaffUnknown", "staff_unknown", 422, "没有这个人或已离岗", "No such person, or they have left")
MergeRefused = _problem(
    "MergeRefused", "merge_refused", 422, "不能并入这个案件", "The case cannot be merged into that one"
)
DateRefused = _problem("DateRefused", "date_refused", 422, "日期不在允许范围内", "The date is out of the allowed range")
StaleCase = _problem(
    "StaleCase", "stale_case", 409, "案件已被他人更新，请刷新", "Somebody else changed the case; reload it"
)
IdConflict = _problem(
    "IdConflict", "id_conflict", 409, "同一编号已有不同内容", "The same id was already used with other content"
)
CaseEnded = _problem("CaseEnded", "case_ended", 409, "案件已办结，不能迁移", "The case has ended and cannot be moved")
StateUnknown = _problem(
    "StateUnknown", "state_unknown", 422, "目标流程中没有对应的状态", "The target workflow has no such state"
)
NoDutyDepartment = _problem(
    "NoDutyDepartment", "no_duty_department", 422, "权责清单没有对应的处置部门", "The duty list names no department"
)
BeyondCalendar = _problem(
    "BeyondCalendar",
    "beyond_calendar",
    422,
    "超出已知工作日历，无法计时",
    "The working calendar does not reach that far",
)

# The command centre
ShiftOverlap = _problem(
    "ShiftOverlap", "shift_overlap", 409, "此人在这段时间已有班次", "This person already has a shift at that time"
)
ShiftUnknown = _problem(
    "ShiftUnknown", "shift_unknown", 409, "班次已被他人改动，请刷新", "Somebody else changed that shift; reload"
)
ShiftSpan = _problem(
    "ShiftSpan",
    "shift_span",
    422,
    "班次须在 24 小时以内，且止于起之后",
    "A shift ends after it begins, within 24 hours",
)
NotOnPost = _problem("NotOnPost", "not_on_post", 422, "此人没有这个岗位的角色", "This person does not hold that role")
StaffUnknown = _problem("StaffUnknown", "staff_unknown", 422, "没有这个人员", "No such person")
WrongPassword = _problem(
    "WrongPassword", "wrong_password", 403, "密码不对，未签字", "Wrong password; nothing was signed"
)
SignerForbidden = _problem(
    "SignerForbidden", "signer_forbidden", 403, "须由接班的同岗位人员签字", "The next person on that post has to sign"
)
AlreadySigned = _problem("AlreadySigned", "already_signed", 409, "已有人签字接班", "Somebody has signed it already")
EntryUnknown = _problem("EntryUnknown", "entry_unknown", 422, "没有这条日志", "No such entry of the log")
PeriodUnfinished = _problem(
    "PeriodUnfinished", "period_unfinished", 422, "这个时段还没有开始", "That period has not begun yet"
)
DeviceState = _problem(
    "DeviceState", "device_state", 409, "设备当前状态不允许这个操作", "The device's state does not allow this"
)
DeviceKnown = _problem(
    "DeviceKnown", "device_known", 409, "已有相同标签或识别号的设备", "A device has that label or key already"
)

# Intake
FormInvalid = _problem("FormInvalid", "form_invalid", 422, "表单填写有误", "The form is not filled in correctly")
SituationUnknown = _problem("SituationUnknown", "situation_unknown", 422, "没有这个情形", "No such situation")
SituationsExclude = _problem(
    "SituationsExclude", "situations_exclude", 422, "所选情形互斥", "The situations cannot both be chosen"
)
TagUnknown = _problem(
    "TagUnknown", "tag_unknown", 422, "案件不属于这个专项行动", "The case belongs to no such special action"
)
CallerBlocked = _problem(
    "CallerBlocked", "caller_blocked", 403, "该来电人在拦截名单内，只受理紧急险情", "This caller is on the block list"
)
CommitmentBroken = _problem(
    "CommitmentBroken",
    "commitment_broken",
    403,
    "该来电人有逾期未兑现的承诺，不再容缺受理",
    "The caller has broken a commitment; nothing may be handed in later",
)
ExternalTaken = _problem(
    "ExternalTaken",
    "external_taken",
    409,
    "这个外部编号已有案件，不在您的权限内；请联系指挥中心",
    "This number has a case already, which is not yours to see; ask the command centre",
)
SealBroken = _problem("SealBroken", "seal_broken", 500, "个人信息无法解密", "The personal data cannot be opened")

# Definitions and imports
DefinitionBad = _problem("DefinitionBad", "definition_bad", 422, "定义有误", "The definition is not valid")
DefinitionUnknown = _problem("DefinitionUnknown", "definition_unknown", 404, "没有这个定义", "No such definition")
StaleDefinition = _problem(
    "StaleDefinition",
    "stale_definition",
    409,
    "定义已被他人发布新版本，请对照后再发布",
    "Somebody published another version; compare before you publish",
)
StaleDraft = _problem(
    "StaleDraft",
    "stale_draft",
    409,
    "草稿已被他人保存，您的修改没有写入",
    "Somebody else saved the draft; your change was not stored",
)
SheetBad = _problem("SheetBad", "sheet_bad", 422, "工作簿无法读取", "The workbook cannot be read")
MappingBad = _problem("MappingBad", "mapping_bad", 422, "映射文件有误", "The mapping file is not valid")
FileUnreadable = _problem("FileUnreadable", "file_unreadable", 422, "文件无法读取", "The file cannot be read")
ImportRefused = _problem("ImportRefused", "import_refused", 422, "导入被整体拒绝", "The import was refused as a whole")
NotAPhoto = _problem("NotAPhoto", "not_a_photo", 422, "不是有效的照片", "The file is not a photo")
ValueUnknown = _problem(
    "ValueUnknown", "value_unknown", 422, "取值没有对应关系", "The value has no meaning in the mapping"
)
DateBad = _problem("DateBad", "date_bad", 422, "日期无效", "The date is not valid")
DateOrder = _problem("DateOrder", "date_order", 422, "日期先后颠倒", "The dates are in the wrong order")
PointMismatch = _problem(
    "PointMismatch", "point_mismatch", 422, "坐标字段与图形不符", "Coordinate fields and shape disagree"
)
GridUnknown = _problem("GridUnknown", "grid_unknown", 422, "没有这个网格", "No such grid")
GridMismatch = _problem(
    "GridMismatch", "grid_mismatch", 422, "所填网格与实际位置不符", "The declared grid is not where the place is"
)
GridOutside = _problem("GridOutside", "grid_outside", 422, "单元网格越出所属村居", "A unit grid leaves its village")
GridCodeBad = _problem("GridCodeBad", "grid_code_bad", 422, "网格编码不合规", "The grid code breaks the coding rule")
GridDuplicate = _problem("GridDuplicate", "grid_duplicate", 422, "网格编码重复", "Duplicate grid code")
AccuracyMissing = _problem("AccuracyMissing", "accuracy_missing", 422, "没有填写精度等级", "No accuracy class is given")
GeometryKind = _problem(
    "GeometryKind", "geometry_kind", 422, "图形类型与类别不符", "The category is drawn as another kind of shape"
)
ComponentNear = _problem(
    "ComponentNear",
    "component_near",
    422,
    "与同类部件距离过近，疑似重复",
    "Another of its kind is so near that it may be the same",
)
ComponentKnown = _problem(
    "ComponentKnown",
    "component_known",
    422,
    "附近已有已发布的同类部件，疑为同一个",
    "A published component of its kind is near: it may be the same",
)
CommonShift = _problem(
    "CommonShift", "common_shift", 422, "与已发布普查相比整体偏移", "All of it is shifted against the published census"
)
UnitMissing = _problem("UnitMissing", "unit_missing", 422, "没有填写责任单位", "No responsible unit is given")
BorderRefused = _problem(
    "BorderRefused", "border_refused", 422, "网格边界不能这样改", "The border cannot be changed so"
)
NotAdjacent = _problem("NotAdjacent", "not_adjacent", 422, "网格不相邻", "The grids are not adjacent")
GridCodesUsedUp = _problem(
    "GridCodesUsedUp", "grid_codes_used_up", 422, "本村居的网格顺序号已用完", "The village has no grid sequence left"
)
PlanFaulty = _problem("PlanFaulty", "plan_faulty", 422, "网格方案还有问题，不能发布", "The grid plan still has faults")
GridsScheduled = _problem(
    "GridsScheduled",
    "grids_scheduled",
    409,
    "已有网格方案待生效，请先撤回",
    "A grid plan waits for its day; withdraw it first",
)
TownExists = _problem(
    "TownExists", "town_exists", 409, "数据库中已有另一个镇", "The database already holds another town"
)
TownDiffers = _problem(
    "TownDiffers", "town_differs", 409, "镇数据与种子生成的不一致", "The town is not what its seed gives"
)
RowInvalid = _problem("RowInvalid", "row_invalid", 422, "数据行有误", "The row is not valid")

# The map
StaleSketch = _problem(
    "StaleSketch",
    "stale_sketch",
    409,
    "标绘已被改动，请先看新的版本",
    "The sketch was changed since; look at the new version",
)
NotAPanorama = _problem(
    "NotAPanorama",
    "not_a_panorama",
    422,
    "全景图须为 2:1 的等距柱状图",
    "A panorama is an equirectangular picture of 2:1",
)

# The census
DraftUnknown = _problem("DraftUnknown", "draft_unknown", 404, "没有这份普查草稿", "No such census draft")
DraftBusy = _problem("DraftBusy", "draft_busy", 409, "草稿正在检查，请稍候", "The draft is being checked; wait for it")
DraftEnded = _problem("DraftEnded", "draft_ended", 409, "草稿已结束，不能再改", "The draft has ended")
DraftSampled = _problem(
    "DraftSampled",
    "draft_sampled",
    409,
    "已抽样的草稿不能再改；要改请先作废样本",
    "A draft that was sampled does not change; discard the sample first",
)
DraftUnready = _problem(
    "DraftUnready", "draft_unready", 409, "草稿还不能发布", "The draft is not ready to be published"
)
StaleCensus = _problem(
    "StaleCensus",
    "stale_census",
    409,
    "检查之后草稿或已发布普查有变化，请重新检查",
    "The draft or the published census changed after the check: check again",
)
SampleState = _problem(
    "SampleState", "sample_state", 409, "样本当前状态不允许这个操作", "The sample's state does not allow this"
)
NotRevertible = _problem(
    "NotRevertible", "not_revertible", 409, "这次发布没有可撤回的部件", "Nothing of this publication can be taken back"
)
ChangeInvalid = _problem(
    "ChangeInvalid", "change_invalid", 422, "变更内容不完整或不适用", "The change is incomplete or does not fit"
)

# Service
Unavailable = _problem(
    "Unavailable", "unavailable", 503, "服务暂不可用，请稍后再试", "The service is not available now; try again"
)
Internal = _problem("Internal", "internal", 500, "系统内部错误，已记录", "Internal error; it was recorded")
