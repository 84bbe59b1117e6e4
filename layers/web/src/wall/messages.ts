/** Strings of the wall's frame, [中文, English]. */
export const wall = {
  'wall.tools': ['地图工具', 'Map tools'],
  'wall.scenes': ['场景', 'Scenes'],
  'wall.foot': ['场景与提醒', 'Scenes and alerts'],
  'scene.overview': ['总览', 'Overview'],
  'scene.heat': ['热力', 'Heat'],
  'scene.patrol': ['巡查', 'Patrol'],
  'scene.village': ['村居', 'Village'],
  'scene.department': ['部门', 'Department'],
  'scene.replay': ['回放', 'Replay'],
} as const satisfies Record<string, readonly [string, string]>
