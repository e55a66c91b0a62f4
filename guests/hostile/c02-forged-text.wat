;; Puts escape sequences, line breaks and direction marks into the log and into the reason of a rejection.
;;@frame event
;;@use imports/log
;;@core
(data (i32.const 1024) "a\1b[31mred\0d\0aforged: line\00\e2\80\aeend")
;;@handle
(call $log (i32.const 2) (i32.const 1024) (i32.const 31))
(return (call $reject (i32.const 1024) (i32.const 31)))
