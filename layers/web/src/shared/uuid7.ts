/** Names a page makes itself: the phone app's, which work without a secure context too. */
export { uuid7 } from '../../../../field_app/src/core/uuid7'
