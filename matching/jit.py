"""How the kernels are compiled: four decorators and a seal. matching/cache.py keeps them on disk.

`kernel` marks what Python calls. `inlined` marks a step that is compiled into each of its callers, `outlined` a step
that stays a function of its own, `either` one that its callers have choose. With NUMBA_DISABLE_JIT=1 all four do nothing
and the same source runs as plain Python.

A step has one body for several ways through it if the way is a parameter that callers give a literal True or False: such a
parameter is a constant of the compiled step, and the branches that it rules out are not compiled at all.

Steps are linked into their kernel as they are, and the kernel is optimised once, as a whole. Numba by itself optimises
each step, emits its machine code and makes it callable from Python, and then does the work again in every caller.

An index that is cast to np.uint64 saves a test: a signed one might count from the end.
"""

import gc
import pathlib
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding as llvm
from numba import _dynfunc
from numba.core import codegen, compiler, config, typed_passes, types, untyped_passes
from numba.core import ir as numba_ir
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.registry import CPUDispatcher

from matching.cache import KernelCache, cache_folder, digest_of, kernel_digest

INTERPRETED = bool(config.DISABLE_JIT)

_kernels: list[Any] = []


# Steps -------------------------------------------------------------------------------------------


class _StepLibrary(codegen.JITCodeLibrary):
    """The code of a step, for kernels to link in. It is not optimised as a whole and no machine code is emitted."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


class _KernelLibrary(codegen.JITCodeLibrary):
    """The code of a kernel. The cache keeps its machine code, and of its LLVM code only the names: nothing links it."""

    def _get_module_for_linking(self) -> Any:
        raise RuntimeError(f"{self.name} is a kernel: only Python calls it")

    def serialize_using_object_code(self) -> tuple[str, str, tuple[bytes, bytes]]:
        self._ensure_finalized()
        functions = (f'define void @"{found.name}"() {{ ret void }}' for found in self.get_defined_functions())
        variables = (
            f'@"{found.name}" = global i8 0'
            for found in self._final_module.global_variables
            if not found.is_declaration
        )
        names = llvm.parse_assembly("\n".join([*variables, *functions]))
        return self.name, "object", (self._get_compiled_object(), names.as_bitcode())


class _Step(CPUDispatcher):
    """A step as its callers see it. It has no entry for Python."""

    def __call__(self, *_: object, **__: object) -> None:
        raise TypeError(
            f"{self.py_func.__name__} is a step of a kernel; Python can call it with NUMBA_DISABLE_JIT=1 only"
        )


@register_pass(mutates_CFG=True, analysis_only=False)
class _StepLowering(typed_passes.NativeLowering):
    """Lowers a step into a _StepLibrary and makes it known to its callers."""

    _name = "step_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _StepLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered, library = state["cr"], state.library
        library._ensure_finalized()
        entry = _dynfunc.make_function(
            lowered.fndesc.lookup_module(),
            lowered.fndesc.qualname.split(".")[-1],
            "a step of a kernel",
            0,
            lowered.env,
            (library,),
        )
        state.targetctx.insert_user_function(entry, lowered.fndesc, [library])
        state["cr"] = compiler._LowerResult(lowered.fndesc, lowered.call_helper, cfunc=entry, env=lowered.env)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(typed_passes.NativeLowering):
    """Lowers a kernel into a _KernelLibrary."""

    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class _FoldFlags(FunctionPass):
    """Makes a constant of each parameter that is given a literal True or False, so that numba prunes the branches on it.

    Numba itself prunes branches on None only, and would compile both sides and all that they call.
    """

    _name = "fold_flags"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        flags = {place: given for place, given in enumerate(state.args) if isinstance(given, types.BooleanLiteral)}
        for block in state.func_ir.blocks.values():
            for line in block.body:
                if (
                    isinstance(line, numba_ir.Assign)
                    and isinstance(line.value, numba_ir.Arg)
                    and line.value.index in flags
                ):
                    line.value = numba_ir.Const(flags[line.value.index].literal_value, line.loc)
                    state.func_ir._definitions[line.target.name] = [line.value]
        return bool(flags)


class _Compiler(compiler.CompilerBase):
    """Numba's passes with _FoldFlags before branches are pruned, and with another lowering."""

    lowering: type[typed_passes.NativeLowering]

    def define_pipelines(self) -> list[Any]:
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state, self.lowering._name)
        passes.passes = [
            (self.lowering if step is typed_passes.NativeLowering else step, text) for step, text in passes.passes
        ]
        passes.add_pass_after(_FoldFlags, untyped_passes.IRProcessing)
        passes.finalize()
        return [passes]


class _StepCompiler(_Compiler):
    lowering = _StepLowering


class _KernelCompiler(_Compiler):
    lowering = _KernelLowering


class _EitherCompiler(_StepCompiler):
    """See `either`."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.flags.forceinline = self.state.args[-1].literal_value
        return super().compile_extra(func)


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_STEP = _OPTIONS | {"pipeline_class": _StepCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a step into each of its callers."""
    return _step(numba.njit(forceinline=True, **_STEP)(function))


def outlined(function: Callable[..., Any]) -> Any:
    """Compile a step as a function of its own. For what few commands do, so that the common path stays short."""
    return _step(numba.njit(**_STEP)(function))


def either(function: Callable[..., Any]) -> Any:
    """Compile a step as its last parameter says, which callers give a literal: True, as `inlined`; False, as `outlined`."""
    return _step(numba.njit(**_STEP | {"pipeline_class": _EitherCompiler})(function))


def _step(compiled: Any) -> Any:
    if not INTERPRETED:
        compiled.__class__ = _Step
    return compiled


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls. Releases the GIL; cached on disk."""
    compiled = numba.njit(pipeline_class=_KernelCompiler, **_OPTIONS)(function)
    if not INTERPRETED:
        compiled._cache = KernelCache(function)
        _kernels.append(compiled)
    return compiled


def direct(compiled: Any, *arguments: Any) -> Any:
    """The entry of a kernel for arguments of exactly these types, without the check of types on each call.

    To find out the types of a book and a ledger takes ten times as long as the call itself. Only for a caller that
    makes all of its arguments itself: another dtype, or an array that is not contiguous, would be read as if it were right.
    """
    if INTERPRETED:
        return compiled
    types_given = tuple(map(numba.typeof, arguments))
    known = compiled.overloads.get(types_given)
    if known:
        return known.entry_point
    collecting = gc.isenabled()
    gc.disable()  # a compiler makes much that lives: to look through it again and again takes a fifth of its time
    try:
        return compiled.compile(types_given)
    finally:
        if collecting:
            gc.enable()


# Ready to serve ------------------------------------------------------------------------------------


def compilations() -> int:
    """How many kernel specialisations this process had to compile because no cache held them."""
    return sum(sum(k.stats.cache_misses.values()) for k in _kernels)


def is_cached() -> bool:
    """Whether everything that a process runs before `seal` has been compiled before, of exactly these sources."""
    return INTERPRETED or _complete().exists()


def _complete() -> pathlib.Path:
    """The file that says that the cache lacks no kernel of this process."""
    digest = digest_of(kernel_digest(compiled).encode() for compiled in _kernels)
    return pathlib.Path(cache_folder()) / f"complete-{digest}"


def seal() -> None:
    """Forbid further compilation: from here on an unforeseen type is a TypeError at once, not seconds of silence.

    Call it when every kernel has run once.
    """
    if not INTERPRETED:
        _complete().touch()
        for compiled in _kernels:
            if compiled.signatures:
                compiled.disable_compile()
