;; Logs (l) or rejects with (r) a text that is not UTF-8.
;;@frame event
;;@use imports/log
;;@core
(data (i32.const 1024) "\ff\fe\c0\80")
;;@handle
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x6c))
  (then (call $log (i32.const 2) (i32.const 1024) (i32.const 4))))
(return (call $reject (i32.const 1024) (i32.const 4)))
