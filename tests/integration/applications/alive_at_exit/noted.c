/* A type whose objects write a file when they are freed. It is compiled without Python's headers, which a machine may
 * lack: all that is declared here is in the stable ABI. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct type type;
typedef struct { long references; type *kind; } object;
typedef struct { object head; char path[500]; } noted;
typedef struct { int number; void *function; } slot;
typedef struct { const char *name; int size, itemsize; unsigned flags; slot *slots; } specification;
typedef struct {
    object head;
    void *init;
    long index;
    object *copy;
    const char *name, *doc;
    long size;
    void *methods, *slots, *traverse, *clear, *free;
} definition;

enum { DEALLOC = 52, ALLOC = 47, NEW = 65, FREE = 74, DEFAULT = 1 << 18, ABI = 3 };

int PyArg_ParseTuple(object *, const char *, ...);
object *PyModule_Create2(definition *, int);
int PyModule_AddObject(object *, const char *, object *);
object *PyType_FromSpec(specification *);
void *PyType_GetSlot(type *, int);
void Py_DecRef(object *);

static object *make(type *kind, object *arguments, object *words) {
    const char *path;
    if (!PyArg_ParseTuple(arguments, "s", &path)) return 0;
    object *(*allocate)(type *, long) = PyType_GetSlot(kind, ALLOC);
    noted *made = (noted *)allocate(kind, 0);
    if (made) strncpy(made->path, path, sizeof made->path - 1);
    return (object *)made;
}

static void end(noted *self) {
    type *kind = self->head.kind;
    int file = open(self->path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (write(file, "ended\n", 6) < 0) _exit(1);
    close(file);
    ((void (*)(void *))PyType_GetSlot(kind, FREE))(self);
    Py_DecRef((object *)kind);
}

static slot slots[] = {{NEW, make}, {DEALLOC, end}, {0, 0}};
static specification of_noted = {"noted.noted", sizeof(noted), 0, DEFAULT, slots};
static definition of_module = {{1, 0}, 0, 0, 0, "noted", 0, -1};

object *PyInit_noted(void) {
    object *module = PyModule_Create2(&of_module, ABI);
    PyModule_AddObject(module, "noted", PyType_FromSpec(&of_noted));
    return module;
}
