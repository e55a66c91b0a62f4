;; Asks for memory until it gets no more, and then gives up (g) or goes on without (c).
;;@frame event
;;@handle
(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x67)) (then unreachable))
