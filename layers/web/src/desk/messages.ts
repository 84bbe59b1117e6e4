export const desk = {
  'desk.title': ['网格工作台', 'Case desk'],
  'desk.nav': ['工作台导航', 'Desk'],
  'desk.wall': ['大屏', 'Wall'],
  'desk.search': ['查案号、外部编号、查询码、描述或地址', 'Any number or code, description, address'],
  'desk.skip': ['跳到内容', 'Skip to content'],
  'desk.forbidden': ['您的角色不能使用这个页面。需要时请联系安全管理员。', 'Your role may not use this page. Ask the security administrator if you need it.'],
  'desk.unknown': ['没有这个页面。', 'There is no such page.'],
  'desk.nothing': ['您的角色没有可用的页面。请联系安全管理员。', 'Your role has no page here. Ask the security administrator.'],
  'desk.home': ['回到首页', 'Go to the first page'],
  'map.canvas': ['地图：方向键移动，加减号缩放', 'Map: arrow keys move, plus and minus zoom'],
  'map.pick': ['点地图选位置；键盘：方向键移动，回车选中心', 'Click the map to pick the place; keyboard: arrows move, Enter picks the centre'],
  'map.draw': ['逐点点击画范围，双击或回车完成；空格取中心为一点，退格撤一点，Esc 放弃', 'Click corner by corner; double-click or Enter ends; space takes the centre, Backspace takes one back, Esc gives up'],
} as const satisfies Record<string, readonly [string, string]>
