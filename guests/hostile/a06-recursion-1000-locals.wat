;; Calls itself without end, with 1000 values that live across the call.
;;@frame event
;;@core
(func $deeper (result i64)
;;@times 1000 (i64.load (i32.const {n}))
(call $deeper)
;;@times 1000 (i64.add)
)
;;@handle
(drop (call $deeper))
