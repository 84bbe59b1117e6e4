/** The strings of the public page, [中文, English]: apart from the others, so that a phone loads no more than it shows. */
import { ApiError } from '../shared/api'
import { language } from '../shared/language'
import type { Two } from '../shared/types'

const words = {
  title: ['随手报', 'Report a problem'],
  report: ['我要上报', 'Report a problem'],
  report_hint: ['三步：选问题、定位置、拍照片', 'Three steps: what, where, a photo'],
  follow: ['查办理进度', 'Follow a report'],
  follow_hint: ['用查询码', 'With the query code'],
  back: ['返回', 'Back'],
  language: ['English', '中文'],
  synthetic: ['合成演示数据', 'Synthetic demo data'],
  step: ['第 {n} 步，共 3 步', 'Step {n} of 3'],
  next: ['下一步', 'Next'],
  change: ['改选', 'Change'],
  where: ['问题在哪里？', 'Where is it?'],
  here: ['用我现在的位置', 'Where I am now'],
  on_map: ['在地图上点', 'On the map'],
  locating: ['正在定位…', 'Finding where you are…'],
  insecure: ['这个页面不能自动定位，请在地图上点。', 'This page may not ask where you are; use the map.'],
  denied: ['没有定位权限。请在浏览器设置里允许，或在地图上点。', 'Location was refused. Allow it in the browser, or use the map.'],
  unavailable: ['定位没有成功，请再试或在地图上点。', 'Your place was not found. Try again or use the map.'],
  coarse: ['定位误差约 {m} 米，请在地图上核对。', 'Accurate to about {m} m only: check it on the map.'],
  at: ['{village}', '{village}'],
  this_one: ['就是这个{name}（{m} 米）', 'It is this {name} ({m} m)'],
  address: ['补充说明位置（可不填）', 'More about the place (optional)'],
  address_hint: ['如：小区东门、公交站旁', 'e.g. east gate, beside the bus stop'],
  map_hint: ['点一下问题所在的位置', 'Tap where the problem is'],
  map_take: ['就是这里', 'Here it is'],
  map_none: ['地图没有读到，请检查网络。', 'The map could not be read; check the network.'],
  show: ['拍一张照片', 'Take a photo'],
  photo: ['拍照或选照片', 'Take or choose a photo'],
  photo_bad: ['这个文件不是照片', 'That file is no photo'],
  photo_remove: ['去掉这张照片', 'Remove this photo'],
  material: ['请拍', 'Please show'],
  say: ['说说情况（可不填）', 'Tell us more (optional)'],
  say_hint: ['如：已经三天没人清理', 'e.g. nobody has come for three days'],
  send: ['提交', 'Send'],
  sending: ['正在提交…', 'Sending…'],
  offline: ['现在没有网络。填写的内容和照片都存在这部手机上，联网后再点“提交”。', 'No network now. Everything is kept on this phone; press “Send” when you are online.'],
  kept: ['填写的内容都还在。', 'Everything you typed is kept.'],
  resumed: ['接着上次没提交的内容', 'Going on with what was not sent'],
  drop: ['放弃，重新填', 'Begin anew'],
  sent: ['已收到，谢谢！', 'Received. Thank you!'],
  number: ['编号', 'Number'],
  code: ['查询码', 'Query code'],
  keep_code: ['请记下或截图保存查询码，凭它查办理进度。', 'Keep the query code: with it you can follow what happens.'],
  copy: ['复制查询码', 'Copy the code'],
  copied: ['已复制', 'Copied'],
  see: ['看进度', 'Follow it'],
  another: ['再报一件', 'Report another'],
  code_label: ['查询码', 'Query code'],
  code_hint: ['10 位字母和数字', '10 letters and digits'],
  look: ['查询', 'Look'],
  reported: ['{date} 上报', 'Reported {date}'],
  asks: ['需要您补充', 'We need more from you'],
  supplement: ['补充说明', 'What you add'],
  supplement_send: ['提交补充', 'Send it'],
  supplemented: ['已收到您的补充，谢谢！', 'Received. Thank you!'],
  rate: ['您对办理结果满意吗？', 'Are you satisfied with the result?'],
  rate_note: ['还想说点什么（可不填）', 'Anything else (optional)'],
  rate_send: ['提交评价', 'Send'],
  rated: ['您的评价：{word}。谢谢！', 'Your rating: {word}. Thank you!'],
  score_5: ['非常满意', 'Very satisfied'],
  score_4: ['满意', 'Satisfied'],
  score_3: ['基本满意', 'Fairly satisfied'],
  score_2: ['不满意', 'Dissatisfied'],
  score_1: ['非常不满意', 'Very dissatisfied'],
  stage_report: ['已收到您的上报', 'Your report has arrived'],
  stage_acceptance: ['工作人员正在核对', 'The staff look at it'],
  stage_filing: ['情况属实，准备安排处理', 'It is confirmed and will be assigned'],
  stage_dispatch: ['正在安排处理部门', 'A department is being found'],
  stage_handling: ['责任部门正在处理', 'The department is at work'],
  stage_feedback: ['部门已反馈处理情况', 'The department has answered'],
  stage_check: ['已处理，正在现场核查', 'Done; the result is being checked'],
  stage_closing: ['核查通过，准备办结', 'Checked; about to be closed'],
  done: ['已办结', 'Closed'],
  void: ['未立案，办理结束', 'Ended without a case'],
  fault_required: ['请填写', 'Please fill in'],
  fault_phone: ['电话号码不对', 'No telephone number'],
  fault_other: ['填写有误', 'Something is wrong here'],
  loading: ['读取中…', 'Loading…'],
  retry: ['重试', 'Try again'],
  error: ['{what}（代码 {code}）', '{what} (code {code})'],
} as const satisfies Record<string, readonly [string, string]>

export type Word = keyof typeof words

export function t(key: Word, values: Record<string, string | number> = {}): string {
  const text: string = words[key][language.value === 'zh' ? 0 : 1]
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}
export const pick = (two: Two | null | undefined): string => two?.[language.value] ?? ''
export const isWord = (key: string): key is Word => key in words
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return t('error', { what: t('retry'), code: error instanceof Error ? error.name : 'unknown' })
  return t('error', { what: language.value === 'zh' ? error.zh : error.en, code: error.code })
}
/** Nothing came back: the network is away, not the server's mind made up. */
export const isAway = (error: unknown): boolean => error instanceof ApiError && error.status === 0
