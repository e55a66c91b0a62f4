;; Has a function with a million local variables.
;;@frame event
;;@core
(func
;;@times 40000 (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
)
