;; Writes lines to the log without end (f), or 10,000 of them (d).
;;@frame event
;;@use imports/log
;;@core
(data (i32.const 1024) "a line of a flood")
;;@local
(local $n i32)
;;@handle
(loop $more
  (call $log (i32.const 2) (i32.const 1024) (i32.const 17))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br_if $more (i32.lt_u (local.get $n) (i32.const 10000)))
  (br_if $more (i32.eq (call $letter (local.get $event)) (i32.const 0x66))))
