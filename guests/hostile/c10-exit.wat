;; Ends itself with success (s), or with failure (f), instead of answering.
;;@frame event
;;@use imports/exit
;;@handle
(call $exit (i32.eq (call $letter (local.get $event)) (i32.const 0x66)))
