;; Sleeps for as long as can be said.
;;@frame event
;;@use imports/streams
;;@use imports/clock
;;@handle
(call $block (call $sleep (i64.const -1)))
