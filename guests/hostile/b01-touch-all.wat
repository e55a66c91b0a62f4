;; Takes all the memory it can get, writes to every page of it, and ends with a trap.
;;@frame event
;;@local
(local $at i32)
;;@handle
(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
(local.set $at (i32.const 131072))
(loop $touch
  (i32.store (local.get $at) (i32.const 0x5a5a5a5a))
  (local.set $at (i32.add (local.get $at) (i32.const 4096)))
  (br_if $touch (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
unreachable
